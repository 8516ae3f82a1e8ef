"""References, verdicts, incidents, notifications and runners of the monitors."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
CLOCK = sa.text("clock_timestamp()")
STATES = "state IN ('ok', 'pending', 'firing', 'no_data', 'broken')"
STATUSES = (
    "status IN ('ok', 'alarm', 'not_calibrated', 'insufficient', 'no_data', 'shown', 'broken')"
)
FAMILIES = (
    "family IN ('drift', 'quality', 'latency', 'volume', 'performance', 'registry', 'pipeline')"
)


def upgrade() -> None:
    _references()
    _windows()
    _verdicts()
    _alerts()
    _runner()


def _references() -> None:
    for column in (
        sa.Column("since", TIME),
        sa.Column("until", TIME),
        sa.Column("block_seconds", sa.Integer),
        sa.Column("note", sa.Text, server_default="", nullable=False),
    ):
        op.add_column("reference", column, schema="driftline")
    op.create_table(
        "reference_block",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("segment", sa.Text, primary_key=True),
        sa.Column("seconds", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("start", TIME, primary_key=True),
        sa.Column("binning_id", sa.Text, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("cells", sa.LargeBinary, nullable=False),
        schema="driftline",
    )
    op.create_table(
        "calibration",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("segment", sa.Text, primary_key=True),
        sa.Column("column", sa.Text, primary_key=True),
        sa.Column("monitor", sa.Text, primary_key=True),
        sa.Column("window_seconds", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("size", sa.Double, primary_key=True),
        sa.Column("reference_digest", sa.Text, nullable=False),
        sa.Column("null", JSONB, nullable=False),
        sa.Column("computed_at", TIME, server_default=CLOCK, nullable=False),
        schema="driftline",
    )


def _windows() -> None:
    """The statistics of a window, in a form that SQL can plot."""
    op.create_table(
        "judged_window",
        sa.Column("window_end", TIME, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("window_seconds", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("final", sa.Boolean, nullable=False),
        sa.Column("judged_at", TIME, server_default=CLOCK, nullable=False),
        schema="driftline",
    )
    op.create_table(
        "window_stat",
        sa.Column("window_end", TIME, nullable=False),
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
        schema="driftline",
    )
    key = ["model", "window_seconds", "window_end"]
    for table, more in (
        ("judged_window", []),
        ("window_stat", ["column", "segment", "role", "version"]),
    ):
        _hypertable(table, "window_end")
        op.create_index(f"{table}_key", table, [*key, *more], unique=True, schema="driftline")


def _verdicts() -> None:
    def columns() -> list[sa.Column[object]]:
        return [
            sa.Column("window_end", TIME, nullable=False),
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
            sa.Column("judged_at", TIME, server_default=CLOCK, nullable=False),
            sa.CheckConstraint(STATUSES, name="verdict_status"),
            sa.CheckConstraint(FAMILIES, name="verdict_family"),
        ]

    key = ["model", "window_seconds", "window_end", "monitor", "column", "segment", "version"]
    for table, more in (("verdict", []), ("verdict_history", ["revision"])):
        op.create_table(table, *columns(), schema="driftline")
        _hypertable(table, "window_end")
        op.create_index(f"{table}_key", table, [*key, *more], unique=True, schema="driftline")
    op.create_index(
        "verdict_alarms",
        "verdict",
        ["model", "window_end"],
        schema="driftline",
        postgresql_where=sa.text("status IN ('alarm', 'broken')"),
    )
    op.create_table(
        "report",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("made_at", TIME, server_default=CLOCK, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.Column("until", TIME, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("summary", JSONB, nullable=False),
        sa.Column("html", sa.LargeBinary, nullable=False),
        schema="driftline",
    )
    op.create_index("report_model", "report", ["model", "until"], schema="driftline")


def _alerts() -> None:
    op.create_table(
        "incident",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("family", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("version", sa.Integer),
        sa.Column("since", TIME, nullable=False),
        sa.Column("last", TIME, nullable=False),
        sa.Column("opened_at", TIME, server_default=CLOCK, nullable=False),
        sa.Column("updated_at", TIME, server_default=CLOCK, nullable=False),
        sa.Column("resolved_at", TIME),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("contributors", JSONB, nullable=False),
        sa.Column("false_per_week", sa.Double),
        sa.Column("report_id", sa.BigInteger),
        sa.Column("acknowledged_at", TIME),
        sa.Column("acknowledged_by", sa.Text),
        sa.Column("note", sa.Text, server_default="", nullable=False),
        sa.CheckConstraint(FAMILIES, name="incident_family"),
        sa.CheckConstraint("severity IN ('ticket', 'page')", name="incident_severity"),
        schema="driftline",
    )
    op.create_index("incident_model", "incident", ["model", "opened_at"], schema="driftline")
    op.create_index(
        "incident_open",
        "incident",
        ["model", "family"],
        unique=True,
        schema="driftline",
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.create_table(
        "alert",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("family", sa.Text, primary_key=True),
        sa.Column("team", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.Column("updated_at", TIME, server_default=CLOCK, nullable=False),
        sa.Column("incident_id", sa.BigInteger),
        sa.Column("silenced_until", TIME),
        sa.Column("version", sa.Integer),
        sa.Column("columns", sa.Text, server_default="", nullable=False),
        sa.Column("summary", sa.Text, server_default="", nullable=False),
        sa.CheckConstraint(STATES, name="alert_state"),
        sa.CheckConstraint(FAMILIES, name="alert_family"),
        sa.CheckConstraint("severity IN ('ticket', 'page')", name="alert_severity"),
        schema="driftline",
    )
    op.create_table(
        "silence",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("family", sa.Text),
        sa.Column("starts_at", TIME, server_default=CLOCK, nullable=False),
        sa.Column("ends_at", TIME, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("grafana_id", sa.Text),
        schema="driftline",
    )
    op.create_index("silence_model", "silence", ["model", "ends_at"], schema="driftline")
    op.create_table(
        "notification",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("dedupe_key", sa.Text, nullable=False, unique=True),
        sa.Column("incident_id", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", TIME, server_default=CLOCK, nullable=False),
        sa.Column("next_try_at", TIME, server_default=CLOCK, nullable=False),
        sa.Column("tries", sa.Integer, server_default="0", nullable=False),
        sa.Column("sent_at", TIME),
        sa.Column("outcome", sa.Text, server_default="", nullable=False),
        sa.CheckConstraint("kind IN ('fired', 'changed', 'resolved')", name="notification_kind"),
        schema="driftline",
    )
    op.create_index(
        "notification_waiting",
        "notification",
        ["next_try_at"],
        schema="driftline",
        postgresql_where=sa.text("sent_at IS NULL"),
    )


def _runner() -> None:
    op.create_table(
        "runner",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("started_at", TIME, server_default=CLOCK, nullable=False),
        sa.Column("beat_at", TIME, server_default=CLOCK, nullable=False),
        sa.Column("shards", ARRAY(sa.Integer), nullable=False),
        sa.Column("models", sa.Integer, nullable=False),
        sa.Column("lag_seconds", sa.Double),
        sa.Column("errors", sa.BigInteger, server_default="0", nullable=False),
        schema="driftline",
    )
    op.create_table(
        "monitor_progress",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("shard", sa.Integer, nullable=False),
        sa.Column("clock", TIME),
        sa.Column("dirty_seen", sa.BigInteger, server_default="0", nullable=False),
        sa.Column("judged_until", TIME),
        sa.Column("lag_seconds", sa.Double),
        sa.Column("failed_since", TIME),
        sa.Column("error", sa.Text, server_default="", nullable=False),
        sa.Column("updated_at", TIME, server_default=CLOCK, nullable=False),
        schema="driftline",
    )


def _hypertable(table: str, time: str) -> None:
    op.execute(
        f"SELECT create_hypertable('driftline.{table}', by_range('{time}', INTERVAL '30 days'),"
        " create_default_indexes => false)"
    )


TABLES = (
    "monitor_progress",
    "runner",
    "notification",
    "silence",
    "alert",
    "incident",
    "report",
    "verdict_history",
    "verdict",
    "window_stat",
    "judged_window",
    "calibration",
    "reference_block",
)


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table, schema="driftline")
    for column in ("note", "block_seconds", "until", "since"):
        op.drop_column("reference", column, schema="driftline")
