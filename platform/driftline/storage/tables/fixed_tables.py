"""The fixed tables as SQLAlchemy metadata; the schema test compares the migrations with it.

Migrations create the tables. The typed table of a model's predictions is not among them:
`prediction_table` reads it from the database.
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import INT8MULTIRANGE, JSONB, OID

from driftline import names

_TIME = sa.DateTime(timezone=True)
_CLOCK = sa.text("clock_timestamp()")

metadata = sa.MetaData(schema=names.SCHEMA)

source = sa.Table(
    "source",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("topic", sa.Text, nullable=False),
    sa.Column("partition", sa.Integer, nullable=False),
    sa.UniqueConstraint("model", "stream", "topic", "partition", name="source_key"),
    sa.CheckConstraint("stream IN ('events', 'labels')", name="source_stream"),
)

lock = sa.Table(
    "lock",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    # the session that owns the lock; null for transaction locks
    sa.Column("backend_pid", sa.Integer),
    sa.Column("backend_user", OID),
    sa.Column("backend_start", _TIME),
)

ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("committed_at", _TIME, server_default=_CLOCK, nullable=False),
    sa.Column("source", sa.Integer, nullable=False),
    sa.Column("first_offset", sa.BigInteger, nullable=False),
    sa.Column("last_offset", sa.BigInteger, nullable=False),
    sa.Column("offsets", INT8MULTIRANGE, nullable=False),
    sa.Column("logged", sa.BigInteger, nullable=False),
    sa.Column("duplicate", sa.BigInteger, nullable=False),
    sa.Column("rejected", sa.BigInteger, nullable=False),
    sa.Column("filtered", sa.BigInteger, nullable=False),
    sa.Index("ledger_source_offset", "source", "last_offset"),
    sa.Index("ledger_source_time", "source", "committed_at"),
)

duplicate = sa.Table(
    "duplicate",
    metadata,
    sa.Column("seen_at", _TIME, server_default=_CLOCK, nullable=False),
    sa.Column("source", sa.Integer, nullable=False),
    sa.Column("kafka_offset", sa.BigInteger, nullable=False),
    sa.Column("event_id", sa.Text, nullable=False),
    sa.Column("event_time", _TIME, nullable=False),
)

rejected = sa.Table(
    "rejected",
    metadata,
    sa.Column("rejected_at", _TIME, server_default=_CLOCK, nullable=False),
    sa.Column("source", sa.Integer, nullable=False),
    sa.Column("kafka_offset", sa.BigInteger, nullable=False),
    sa.Column("kafka_time", _TIME, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("payload", sa.LargeBinary),
    sa.Column("replayed_at", _TIME),
    sa.Index("rejected_source_time", "source", "rejected_at"),
)

label = sa.Table(
    "label",
    metadata,
    sa.Column("label_time", _TIME, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("event_id", sa.Text, nullable=False),
    sa.Column("label", sa.Double, nullable=False),
    sa.Column("source", sa.Integer, nullable=False),
    sa.Column("kafka_offset", sa.BigInteger, nullable=False),
    sa.Column("kafka_time", _TIME, nullable=False),
    sa.Column("logged_at", _TIME, server_default=_CLOCK, nullable=False),
    sa.Index("label_key", "model", "label_time", "event_id", unique=True),
    sa.Index(
        "label_offset",
        "kafka_offset",
        postgresql_using="brin",
        postgresql_with={"autosummarize": "on"},
    ),
)

_profile_id = sa.Sequence("profile_id", metadata=metadata, data_type=sa.BigInteger, cache=100)
_dirty_window_id = sa.Sequence("dirty_window_id", metadata=metadata, data_type=sa.BigInteger)

profile = sa.Table(
    "profile",
    metadata,
    sa.Column("bucket", _TIME, nullable=False),
    sa.Column("id", sa.BigInteger, server_default=_profile_id.next_value(), nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("span_minutes", sa.SmallInteger, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("segment", sa.Text, nullable=False),
    sa.Column("binning_id", sa.Text, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("cells", sa.LargeBinary, nullable=False),
    sa.CheckConstraint("span_minutes IN (1, 5, 10, 15, 30, 60, 1440)", name="profile_span"),
    sa.Index("profile_model_bucket", "model", "bucket"),
)

profile_hour = sa.Table(
    "profile_hour",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("bucket", _TIME, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("role", sa.Text, primary_key=True),
    sa.Column("segment", sa.Text, primary_key=True),
    sa.Column("binning_id", sa.Text, primary_key=True),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("cells", sa.LargeBinary, nullable=False),
)

dirty_window = sa.Table(
    "dirty_window",
    metadata,
    sa.Column("marked_at", _TIME, server_default=_CLOCK, nullable=False),
    sa.Column("id", sa.BigInteger, server_default=_dirty_window_id.next_value(), nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("minutes", INT8MULTIRANGE, nullable=False),
    sa.Index("dirty_window_model_marked_at", "model", "marked_at"),
)

model = sa.Table(
    "model",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("prediction_table", sa.Text, nullable=False),
    sa.Column("forget_count", sa.Integer, server_default="0", nullable=False),
    sa.Column("declared_at", _TIME, server_default=_CLOCK, nullable=False),
)

binning = sa.Table(
    "binning",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("spec", JSONB, nullable=False),
    sa.Column("created_at", _TIME, server_default=_CLOCK, nullable=False),
)

model_version = sa.Table(
    "model_version",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("run_id", sa.Text),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("signature", JSONB, nullable=False),
    sa.Column("features_hash", sa.Text, nullable=False),
    sa.Column("binning_id", sa.Text, nullable=False),
    sa.Column("registered_at", _TIME, server_default=_CLOCK, nullable=False),
)

#: The feature definition that a version uses since it differs from that in `model_version`.
model_definition = sa.Table(
    "model_definition",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("since", _TIME, server_default=_CLOCK, primary_key=True),
    sa.Column("features_hash", sa.Text, nullable=False),
)

#: The batch that each worker is processing, or was processing when it died.
batch_attempt = sa.Table(
    "batch_attempt",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("topic", sa.Text, primary_key=True),
    sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("worker", sa.Text, primary_key=True),
    sa.Column("offsets", INT8MULTIRANGE, nullable=False),
    sa.Column("started_at", _TIME, nullable=False),
)

reference = sa.Table(
    "reference",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("binning_id", sa.Text, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("cells", sa.LargeBinary, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("created_at", _TIME, server_default=_CLOCK, nullable=False),
    sa.Column("since", _TIME),
    sa.Column("until", _TIME),
    sa.Column("block_seconds", sa.Integer),
    sa.Column("note", sa.Text, server_default="", nullable=False),
)

reference_sample = sa.Table(
    "reference_sample",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("parquet", sa.LargeBinary, nullable=False),
    sa.Column("created_at", _TIME, server_default=_CLOCK, nullable=False),
)

promotion = sa.Table(
    "promotion",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("decided_at", _TIME, server_default=_CLOCK, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("previous", sa.Integer),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("decided_by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("verdict", JSONB),
    sa.CheckConstraint(
        "kind IN ('first', 'promoted', 'forced', 'rolled_back', 'refused')", name="promotion_kind"
    ),
    sa.Index("promotion_model", "model", "id"),
)

version_event = sa.Table(
    "version_event",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("happened_at", _TIME, server_default=_CLOCK, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("worker", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, server_default="", nullable=False),
    sa.Index("version_event_model", "model", "id"),
)

quarantine = sa.Table(
    "quarantine",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("quarantined_at", _TIME, server_default=_CLOCK, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("worker", sa.Text, nullable=False),
)
