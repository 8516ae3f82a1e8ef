"""The tables of monitoring as SQLAlchemy metadata: references, verdicts, incidents, runners."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, OID

from driftline.storage.tables.fixed_tables import metadata

_TIME = sa.DateTime(timezone=True)
_CLOCK = sa.text("clock_timestamp()")
_FAMILIES = (
    "family IN ('drift', 'quality', 'latency', 'volume', 'performance', 'registry', 'pipeline')"
)
_STATUSES = (
    "status IN ('ok', 'alarm', 'not_calibrated', 'insufficient', 'no_data', 'shown', 'broken')"
)
_SEVERITIES = "severity IN ('ticket', 'page')"
_WINDOW = ("model", "window_seconds", "window_end")
_VERDICT_KEY = (*_WINDOW, "monitor", "column", "segment", "version")

reference_block = sa.Table(
    "reference_block",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("segment", sa.Text, primary_key=True),
    sa.Column("seconds", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("start", _TIME, primary_key=True),
    sa.Column("binning_id", sa.Text, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("cells", sa.LargeBinary, nullable=False),
)

calibration = sa.Table(
    "calibration",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("segment", sa.Text, primary_key=True),
    sa.Column("column", sa.Text, primary_key=True),
    sa.Column("monitor", sa.Text, primary_key=True),
    sa.Column("window_seconds", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("size", sa.Double, primary_key=True),
    sa.Column("reference_digest", sa.Text, nullable=False),
    sa.Column("null", JSONB, nullable=False),
    sa.Column("computed_at", _TIME, server_default=_CLOCK, nullable=False),
)

judged_window = sa.Table(
    "judged_window",
    metadata,
    sa.Column("window_end", _TIME, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("window_seconds", sa.Integer, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("final", sa.Boolean, nullable=False),
    sa.Column("judged_at", _TIME, server_default=_CLOCK, nullable=False),
    sa.Column("live", sa.Boolean, server_default="true", nullable=False),
    sa.Index("judged_window_key", *_WINDOW, unique=True),
)

window_stat = sa.Table(
    "window_stat",
    metadata,
    sa.Column("window_end", _TIME, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("window_seconds", sa.Integer, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("segment", sa.Text, nullable=False),
    sa.Column("column", sa.Text, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("missing", sa.BigInteger, nullable=False),
    sa.Column("invalid", sa.BigInteger, nullable=False),
    sa.Column("mean", sa.Double),
    sa.Column("p50", sa.Double),
    sa.Column("p95", sa.Double),
    sa.Column("p99", sa.Double),
    sa.Column("labels", ARRAY(sa.Text), nullable=False),
    sa.Column("counts", ARRAY(sa.BigInteger), nullable=False),
    sa.Column("reference_shares", ARRAY(sa.Double)),
    sa.Index("window_stat_key", *_WINDOW, "column", "segment", "role", "version", unique=True),
)


def _verdict(name: str, *more: sa.Index) -> sa.Table:
    return sa.Table(
        name,
        metadata,
        sa.Column("window_end", _TIME, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("window_seconds", sa.Integer, nullable=False),
        sa.Column("segment", sa.Text, nullable=False),
        sa.Column("column", sa.Text, nullable=False),
        sa.Column("monitor", sa.Text, nullable=False),
        sa.Column("family", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("alerts", sa.Boolean, nullable=False),
        sa.Column("value", sa.Double),
        sa.Column("expected", sa.Double),
        sa.Column("threshold", sa.Double),
        sa.Column("p_value", sa.Double),
        sa.Column("level", sa.Double),
        sa.Column("effect", sa.Double),
        sa.Column("provisional", sa.Boolean, nullable=False),
        sa.Column("detail", sa.Text, server_default="", nullable=False),
        sa.Column("report_id", sa.BigInteger),
        sa.Column("judged_at", _TIME, server_default=_CLOCK, nullable=False),
        sa.Column("against", sa.Integer, server_default="0", nullable=False),
        sa.Column("low", sa.Double),
        sa.Column("high", sa.Double),
        sa.CheckConstraint(_STATUSES, name="verdict_status"),
        sa.CheckConstraint(_FAMILIES, name="verdict_family"),
        *more,
    )


verdict = _verdict(
    "verdict",
    sa.Index("verdict_key", *_VERDICT_KEY, unique=True),
    # the verdicts of one monitor over time, however many the others have
    sa.Index("verdict_series", "model", "window_seconds", "monitor", "window_end"),
    sa.Index(
        "verdict_alarms",
        "model",
        "window_end",
        postgresql_where=sa.text("status IN ('alarm', 'broken')"),
    ),
)

verdict_history = _verdict(
    "verdict_history", sa.Index("verdict_history_key", *_VERDICT_KEY, "revision", unique=True)
)

report = sa.Table(
    "report",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("created_at", _TIME, server_default=_CLOCK, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("since", _TIME, nullable=False),
    sa.Column("until", _TIME, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("summary", JSONB, nullable=False),
    sa.Column("html", sa.LargeBinary, nullable=False),
    sa.Index("report_model", "model", "until"),
)

incident = sa.Table(
    "incident",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("family", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("version", sa.Integer),
    sa.Column("since", _TIME, nullable=False),
    sa.Column("last", _TIME, nullable=False),
    sa.Column("opened_at", _TIME, server_default=_CLOCK, nullable=False),
    sa.Column("updated_at", _TIME, server_default=_CLOCK, nullable=False),
    sa.Column("resolved_at", _TIME),
    sa.Column("summary", sa.Text, nullable=False),
    sa.Column("contributors", JSONB, nullable=False),
    sa.Column("false_alarms_per_week", sa.Double),
    sa.Column("report_id", sa.BigInteger),
    sa.Column("acknowledged_at", _TIME),
    sa.Column("acknowledged_by", sa.Text),
    sa.Column("note", sa.Text, server_default="", nullable=False),
    sa.Column("resolution", sa.Text, server_default="", nullable=False),
    sa.CheckConstraint(_FAMILIES, name="incident_family"),
    sa.CheckConstraint(_SEVERITIES, name="incident_severity"),
    sa.Index("incident_model", "model", "opened_at"),
    sa.Index(
        "incident_open",
        "model",
        "family",
        unique=True,
        postgresql_where=sa.text("resolved_at IS NULL"),
    ),
)

alert = sa.Table(
    "alert",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("family", sa.Text, primary_key=True),
    sa.Column("team", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("since", _TIME, nullable=False),
    sa.Column("updated_at", _TIME, server_default=_CLOCK, nullable=False),
    sa.Column("incident_id", sa.BigInteger),
    sa.Column("silenced_until", _TIME),
    sa.Column("version", sa.Integer),
    sa.Column("columns", sa.Text, server_default="", nullable=False),
    sa.Column("summary", sa.Text, server_default="", nullable=False),
    sa.CheckConstraint(
        "state IN ('ok', 'pending', 'firing', 'no_data', 'broken')", name="alert_state"
    ),
    sa.CheckConstraint(_FAMILIES, name="alert_family"),
    sa.CheckConstraint(_SEVERITIES, name="alert_severity"),
)

silence = sa.Table(
    "silence",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("family", sa.Text),
    sa.Column("starts_at", _TIME, server_default=_CLOCK, nullable=False),
    sa.Column("ends_at", _TIME, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("grafana_id", sa.Text),
    sa.Index("silence_model", "model", "ends_at"),
)

accepted_level = sa.Table(
    "accepted_level",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("family", sa.Text, nullable=False),
    sa.Column("since", _TIME, nullable=False),
    sa.Column("until", _TIME, nullable=False),
    sa.Column("incident_id", sa.BigInteger, nullable=False),
    sa.Column("accepted_at", _TIME, server_default=_CLOCK, nullable=False),
    sa.Column("accepted_by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Index("accepted_level_model", "model", "family"),
)

notification = sa.Table(
    "notification",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("dedupe_key", sa.Text, nullable=False, unique=True),
    sa.Column("incident_id", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("created_at", _TIME, server_default=_CLOCK, nullable=False),
    sa.Column("next_attempt_at", _TIME, server_default=_CLOCK, nullable=False),
    sa.Column("attempts", sa.Integer, server_default="0", nullable=False),
    sa.Column("sent_at", _TIME),
    sa.Column("outcome", sa.Text, server_default="", nullable=False),
    sa.Column("taken", ARRAY(sa.Text), server_default="{}", nullable=False),
    sa.CheckConstraint("kind IN ('fired', 'changed', 'resolved')", name="notification_kind"),
    sa.Index(
        "notification_waiting", "next_attempt_at", postgresql_where=sa.text("sent_at IS NULL")
    ),
    sa.Index("notification_incident", "incident_id"),
)

runner = sa.Table(
    "runner",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("started_at", _TIME, server_default=_CLOCK, nullable=False),
    sa.Column("heartbeat_at", _TIME, server_default=_CLOCK, nullable=False),
    sa.Column("shards", ARRAY(sa.Integer), nullable=False),
    sa.Column("models", sa.Integer, nullable=False),
    sa.Column("lag_seconds", sa.Double),
    sa.Column("errors", sa.BigInteger, server_default="0", nullable=False),
    sa.Column("backend_pid", sa.Integer),
    sa.Column("backend_user", OID),
    sa.Column("backend_start", _TIME),
    sa.Column("stopped_at", _TIME),
    sa.Column("watches", ARRAY(sa.Text), server_default="{}", nullable=False),
)

monitor_progress = sa.Table(
    "monitor_progress",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("shard", sa.Integer, nullable=False),
    sa.Column("clock", _TIME),
    sa.Column("judged_until", _TIME),
    sa.Column("lag_seconds", sa.Double),
    sa.Column("failed_since", _TIME),
    sa.Column("error", sa.Text, server_default="", nullable=False),
    sa.Column("updated_at", _TIME, server_default=_CLOCK, nullable=False),
)
