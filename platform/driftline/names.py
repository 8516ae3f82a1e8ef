"""Names that several places share: tables, columns, roles, aliases, artifact paths."""

import signal
import zlib

SCHEMA = "driftline"

# Columns of a model's prediction table that are not features; no feature can have these names.
SYSTEM_COLUMNS = (
    "event_time",
    "event_id",
    "model_version",
    "role",
    "score",
    "outputs",
    "late",
    "source",
    "kafka_offset",
    "kafka_time",
    "scored_at",
    "inference_ms",
    "lag_ms",
)

# Profiled beside the features, for every model.
SCORE = "score"
INFERENCE_MS = "inference_ms"
LAG_MS = "lag_ms"

# Columns of the job's own queries; in capitals, which field names cannot contain.
BODY = "BODY"  # of a message
KNOWN_TIME = "KNOWN_TIME"
IS_LATE = "IS_LATE"
IS_EVENT = "IS_EVENT"  # to the decoder
FIELDS = "FIELDS"
REASON = "REASON"
DETAIL = "DETAIL"

# Metadata of a file of features: the lines without a row, as JSON.
LEFT_OUT = b"driftline.left_out"

# Columns that the view `events` of a feature query has besides the declared fields.
KAFKA_PARTITION = "kafka_partition"
KAFKA_OFFSET = "kafka_offset"
EVENT_TIME = "event_time"
EVENT_ID = "event_id"
LATE = "late"
KEEP = "keep"  # a boolean feature column with this name decides logged or filtered

REALISED = "realised_"  # prefix of the monitors of performance measured with labels

ALL_ROWS = ""  # the segment of all rows

# Roles of a version. A challenger serves its share of a canary; a shadow never serves.
CHAMPION = "champion"
CHALLENGER = "challenger"
SHADOW = "shadow"  # also the prefix of the aliases of further shadows
SERVED = "served"  # the role of profiles of published predictions

# Artifacts of a model version, below the model's own folder in MLflow.
BINNING_ARTIFACT = "driftline/binning.json"
REFERENCE_ARTIFACT = "driftline/reference.bin"
REFERENCE_BLOCKS_ARTIFACT = "driftline/reference_blocks.parquet"
REFERENCE_SAMPLE_ARTIFACT = "driftline/reference_sample.parquet"


def prediction_table(model: str) -> str:
    """The name of a model's typed hypertable.

    >>> prediction_table("flights-late")
    'prediction_flights_late'
    """
    return "prediction_" + model.replace("-", "_")


def shadow_table(model: str) -> str:
    """The name of the hypertable of other versions' predictions for the same events.

    >>> shadow_table("flights-late")
    'shadow_flights_late'
    """
    return "shadow_" + model.replace("-", "_")


# In Grafana.
DATASOURCE_UID = "driftline-timescaledb"
GRAFANA_PROVISIONING = "/etc/grafana/provisioning"  # of a package or image
FLEET_UID = "driftline-fleet"
MODELS_UID = "driftline-models"  # the shared dashboard of models without their own
PIPELINE_UID = "driftline-pipeline"
PREVIEW_PORT = 8350
DASHBOARD_TAG = "driftline"
_UID_LENGTH = 40


def dashboard_uid(model: str) -> str:
    """The uid of a model's own dashboard; Grafana takes at most 40 characters.

    >>> dashboard_uid("flights-late"), len(dashboard_uid("a" * 40))
    ('driftline-model-flights-late', 40)
    """
    uid = f"driftline-model-{model}"
    if len(uid) <= _UID_LENGTH:
        return uid
    return f"{uid[: _UID_LENGTH - 9]}_{zlib.crc32(model.encode()):08x}"


# Grafana's rule that fires when no runner reports; its evaluations show that Grafana works.
GRAFANA_HEARTBEAT = "driftline is silent"

# Name in pg_stat_activity of the session that moves a champion's alias.
PROMOTION = "driftline-promotion"

# Makes a job's process stop with a savepoint and close all windows. SIGTERM only stops it.
DRAIN_SIGNAL = signal.SIGUSR1
