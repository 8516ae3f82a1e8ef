"""The errors that driftline raises for a person to read, and the few that callers tell apart."""


class DriftlineError(Exception):
    """What went wrong, with the value in it, and the way out; shown without a traceback."""


class ConfigError(DriftlineError):
    """`driftline.yaml` cannot be used as it stands."""


class ServiceError(DriftlineError):
    """A service (database, broker, registry) cannot be started or reached."""


class RegistryError(DriftlineError):
    """A model version cannot be found, checked or loaded."""


class SchemaError(DriftlineError):
    """The database's schema is not the one that this version or this model needs."""


class AuditError(DriftlineError):
    """The proof cannot be made; not the same as a proof that failed."""
