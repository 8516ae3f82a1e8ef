"""Which version was promoted, refused or rolled back, by whom and why; and which may not serve."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from psycopg.types.json import Jsonb

from driftline.errors import RegistryError
from driftline.storage import locks
from driftline.storage.connection import Connection

Kind = Literal["first", "promoted", "forced", "rolled_back", "refused"]

_PATIENCE = timedelta(seconds=60)
_MOVES = ["ungated", "refused", "gated"]  # of a champion's alias outside driftline, and back
_COLUMNS = "decided_at, version, previous, kind, decided_by, reason, verdict"


@dataclass(frozen=True)
class Decision:
    """One row of the table `promotion`.

    Attributes:
        decided_at: by the database's clock.
        version: that was asked for.
        previous: the champion at that time; None when there was none.
        kind: what was decided.
        decided_by: who asked.
        reason: given by a person, or why it was refused.
        verdict: the gates' answers with all numbers; None where no gate was asked.
    """

    decided_at: datetime
    version: int
    previous: int | None
    kind: Kind
    decided_by: str
    reason: str | None
    verdict: dict[str, Any] | None


@dataclass(frozen=True)
class VersionEvent:
    """What one worker of the job, or a command, did with a version."""

    happened_at: datetime
    version: int
    role: str
    kind: str
    worker: str
    detail: str


@dataclass(frozen=True)
class Quarantine:
    """Why a version may not serve."""

    version: int
    quarantined_at: datetime
    reason: str
    detail: str


def decide(
    connection: Connection,
    model: str,
    version: int,
    *,
    previous: int | None,
    kind: Kind,
    by: str,
    reason: str | None = None,
    verdict: dict[str, Any] | None = None,
) -> Decision:
    """Add a decision, as role `write`; gives it with the database's time."""
    content = None if verdict is None else Jsonb(verdict)
    values = (model, version, previous, kind, by, reason, content)
    row = connection.execute(
        f"""INSERT INTO driftline.promotion
              (model, version, previous, kind, decided_by, reason, verdict)
            VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING {_COLUMNS}""",  # noqa: S608 - a constant
        values,
    ).fetchone()
    assert row is not None
    return Decision(*row)


def decisions(connection: Connection, model: str) -> list[Decision]:
    """All decisions of a model, oldest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM driftline.promotion WHERE model = %s ORDER BY id",  # noqa: S608
        [model],
    ).fetchall()
    return [Decision(*row) for row in rows]


def made(connection: Connection, model: str) -> list[Decision]:
    """The decisions that made a version champion, oldest first."""
    return [one for one in decisions(connection, model) if one.kind != "refused"]


def champion(connection: Connection, model: str) -> int | None:
    """The version that a command means that names none: the one that was last made champion; the
    newest that a job has loaded where none was decided; None where none was loaded.
    """
    loaded = {
        version
        for (version,) in connection.execute(
            "SELECT version FROM driftline.model_version WHERE model = %s", [model]
        )
    }
    champions = (one.version for one in reversed(made(connection, model)))
    return next((one for one in champions if one in loaded), max(loaded, default=None))


def before(decided: Iterable[Decision], current: int | None, barred: set[int]) -> int | None:
    """The champion to go back to: the last one that was decided, is not barred and not `current`.

    A roll-back takes back what came after the version that it went to, so that two roll-backs
    go two champions back. A current version that is not the last one decided came after
    everything, even if it was champion once: its alias was moved in MLflow's own UI, or what came
    after it is barred.
    """
    line: list[int] = []
    for one in decided:
        if one.kind == "refused":
            continue
        if not line and one.previous is not None:  # registered as champion before any decision
            line.append(one.previous)
        if one.version in line:
            position = len(line) - line[::-1].index(one.version)
            if one.kind == "rolled_back":
                del line[position:]
                continue
        line.append(one.version)
    return next((v for v in reversed(line) if v not in barred and v != current), None)


def quarantines(connection: Connection, model: str) -> list[Quarantine]:
    """The versions that may not serve, oldest first."""
    rows = connection.execute(
        """SELECT version, quarantined_at, reason, detail FROM driftline.quarantine
            WHERE model = %s ORDER BY quarantined_at""",
        [model],
    ).fetchall()
    return [Quarantine(*row) for row in rows]


def require_not_quarantined(connection: Connection, model: str, version: int) -> None:
    """Refuse a version that may not serve.

    Raises:
        RegistryError: it is in quarantine.
    """
    for one in quarantines(connection, model):
        if one.version == version:
            raise RegistryError(
                f"version {version} of model {model!r} is in quarantine since "
                f"{one.quarantined_at:%Y-%m-%d %H:%M} ({one.reason}): it may not serve, not even "
                f"by force; 'driftline models release {model} {version} --reason …' lifts it"
            )


def release(connection: Connection, model: str, version: int, *, by: str, reason: str) -> bool:
    """Lift a quarantine and say so among the version's events; false when there was none."""
    with connection.transaction():
        lifted = connection.execute(
            "DELETE FROM driftline.quarantine WHERE model = %s AND version = %s", [model, version]
        ).rowcount
        if lifted:
            add_event(connection, model, version, kind="released", by=by, detail=reason)
    return bool(lifted)


def add_event(
    connection: Connection,
    model: str,
    version: int,
    *,
    kind: str,
    by: str,
    detail: str = "",
    role: str = "",
) -> None:
    """Add what a person or a worker did with a version to its events."""
    connection.execute(
        """INSERT INTO driftline.version_event (model, version, role, kind, worker, detail)
           VALUES (%s, %s, %s, %s, %s, %s)""",
        (model, version, role, kind, by, detail),
    )


def quarantine(
    connection: Connection,
    model: str,
    version: int,
    *,
    digest: str,
    reason: str,
    detail: str,
    worker: str,
) -> None:
    """Bar a version from scoring, for all workers, and say so among its events.

    Workers that find the same at the same time write it once.
    """
    with connection.transaction():
        written = connection.execute(
            """INSERT INTO driftline.quarantine (model, version, digest, reason, detail, worker)
               VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING""",
            (model, version, digest, reason, detail, worker),
        ).rowcount
        if written:
            what = f"{reason}: {detail}"
            add_event(connection, model, version, kind="quarantined", by=worker, detail=what)


@contextlib.contextmanager
def locked(connection: Connection, model: str) -> Iterator[None]:
    """Let nobody else decide on the model, over several transactions of the connection.

    Parameters:
        connection: as role `write`, in no transaction.

    Raises:
        ServiceError: somebody else has been deciding for a minute.
    """
    with locks.session(connection, "promotion", model, _PATIENCE):
        yield


def begin(connection: Connection, model: str, version: int, *, by: str) -> None:
    """Record the first champion that a job serves, unless anything was decided before.

    Parameters:
        connection: as role `write`, in no transaction.
    """
    with locked(connection, model), connection.transaction():
        if not decisions(connection, model):
            decide(connection, model, version, previous=None, kind="first", by=by)


def events(connection: Connection, model: str) -> list[VersionEvent]:
    """What was done with the versions of a model, oldest first."""
    rows = connection.execute(
        """SELECT happened_at, version, role, kind, worker, detail FROM driftline.version_event
            WHERE model = %s ORDER BY id""",
        [model],
    ).fetchall()
    return [VersionEvent(*row) for row in rows]


def moves_since(connection: Connection, model: str, since: datetime) -> list[VersionEvent]:
    """How the champion's alias was moved outside driftline, and put back, oldest first."""
    rows = connection.execute(
        """SELECT happened_at, version, role, kind, worker, detail FROM driftline.version_event
            WHERE model = %s AND kind = ANY(%s) AND happened_at >= %s ORDER BY id""",
        [model, _MOVES, since],
    ).fetchall()
    return [VersionEvent(*row) for row in rows]


def moved_outside(connection: Connection, model: str) -> bool:
    """Whether the last that workers saw of the champion's alias was a move outside driftline."""
    row = connection.execute(
        """SELECT kind FROM driftline.version_event
            WHERE model = %s AND kind = ANY(%s) ORDER BY id DESC LIMIT 1""",
        [model, _MOVES],
    ).fetchone()
    return row is not None and row[0] != "gated"
