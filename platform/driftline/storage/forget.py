"""Erasing all data of one model."""

from psycopg import sql

from driftline import names
from driftline.storage.connection import Connection
from driftline.storage.tables import shadow_table

_BY_MODEL = (
    *("profile", "profile_hour", "dirty_window", "label", "model_version"),
    "model_definition",
    *("reference", "reference_block", "reference_sample", "calibration"),
    *("judged_window", "window_stat", "batch_attempt"),
    *("verdict", "verdict_history", "report", "alert", "silence", "monitor_progress"),
    "accepted_level",
)
_BY_SOURCE = ("ledger", "duplicate", "rejected")


def forget(connection: Connection, model: str) -> None:
    """Erase a model's predictions, labels, rejects, profiles, ledger, verdicts and incidents.

    The schema is kept, and so are the decisions about its versions (promotions, quarantine) and the
    registry. Its events count as never read, and no job resumes from an earlier checkpoint
    (`forget_count`): the next job logs them again.

    Parameters:
        connection: as role `migrate`.
    """
    with connection.transaction():
        for table in _BY_SOURCE:
            connection.execute(
                sql.SQL(
                    "DELETE FROM {} WHERE source IN"
                    " (SELECT id FROM driftline.source WHERE model = %s)"
                ).format(_name(table)),
                (model,),
            )
        connection.execute(
            """DELETE FROM driftline.notification WHERE incident_id IN
                 (SELECT id FROM driftline.incident WHERE model = %s)""",
            (model,),
        )
        for table in (*_BY_MODEL, "incident", "source"):
            connection.execute(
                sql.SQL("DELETE FROM {} WHERE model = %s").format(_name(table)), (model,)
            )
        connection.execute(sql.SQL("TRUNCATE {}").format(_name(names.prediction_table(model))))
        if shadow_table.exists(connection, model):
            connection.execute(sql.SQL("TRUNCATE {}").format(_name(names.shadow_table(model))))
        connection.execute(
            "UPDATE driftline.model SET forget_count = forget_count + 1 WHERE name = %s", (model,)
        )


def forget_count(connection: Connection, model: str) -> int:
    """How many times a model was forgotten."""
    row = connection.execute(
        "SELECT forget_count FROM driftline.model WHERE name = %s", (model,)
    ).fetchone()
    return 0 if row is None else int(row[0])


def _name(table: str) -> sql.Identifier:
    return sql.Identifier(names.SCHEMA, table)
