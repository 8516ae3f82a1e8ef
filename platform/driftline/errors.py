"""Errors with messages for users; the subclasses are those that callers distinguish."""


class DriftlineError(Exception):
    """What failed, the value, and what to do; shown without a traceback."""


class ConfigError(DriftlineError):
    """`driftline.yaml` is invalid."""


class ServiceError(DriftlineError):
    """A service (database, broker, registry) cannot be started or reached."""


class RegistryError(DriftlineError):
    """A model version cannot be found, checked or loaded."""


class SchemaError(DriftlineError):
    """The database schema does not match this version or this model."""


class AuditError(DriftlineError):
    """The audit cannot be run; a failed audit is not an error."""
