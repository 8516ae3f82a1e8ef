"""Promotions, refusals and rollbacks of versions, by whom and why; and quarantined versions."""

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

_LOCK_TIMEOUT = timedelta(seconds=60)
_ALIAS_MOVES = ["ungated", "refused", "gated"]  # of the champion alias outside driftline, and back
_COLUMNS = "decided_at, version, previous, kind, decided_by, reason, verdict"


@dataclass(frozen=True)
class Decision:
    """One row of the table `promotion`.

    Attributes:
        decided_at: by the database's clock.
        version: the requested version.
        previous: the champion at that time; None if there was none.
        kind: what was decided.
        decided_by: who requested it.
        reason: given by a person, or why it was refused.
        verdict: the results of the gates with all numbers; None if no gate was evaluated.
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
    """An event of a version, caused by a worker of the job or by a command."""

    happened_at: datetime
    version: int
    role: str
    kind: str
    worker: str
    detail: str


@dataclass(frozen=True)
class Quarantine:
    """A version that must not serve, and why."""

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
    """Add a decision, as role `write`; returns it with the database's time."""
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


def champion_decisions(connection: Connection, model: str) -> list[Decision]:
    """The decisions that made a version champion, oldest first."""
    return [decision for decision in decisions(connection, model) if decision.kind != "refused"]


def champion(connection: Connection, model: str) -> int | None:
    """The default version of commands: the last one made champion, else the newest that a job has
    loaded; None if no version was loaded.
    """
    loaded = {
        version
        for (version,) in connection.execute(
            "SELECT version FROM driftline.model_version WHERE model = %s", [model]
        )
    }
    champions = (decision.version for decision in reversed(champion_decisions(connection, model)))
    return next((version for version in champions if version in loaded), max(loaded, default=None))


def rollback_target(
    decided: Iterable[Decision], current: int | None, excluded: set[int]
) -> int | None:
    """The champion to roll back to: the last one decided that is neither excluded nor `current`.

    A rollback undoes all decisions after the version that it restored, so two rollbacks return to
    the champion before the previous one. A current version that is not the last decided one counts
    as the newest, even if it was champion before: its alias was moved in MLflow's own UI, or all
    later champions are excluded.
    """
    champions: list[int] = []
    for decision in decided:
        if decision.kind == "refused":
            continue
        # registered as champion before any decision
        if not champions and decision.previous is not None:
            champions.append(decision.previous)
        if decision.version in champions:
            position = len(champions) - champions[::-1].index(decision.version)
            if decision.kind == "rolled_back":
                del champions[position:]
                continue
        champions.append(decision.version)
    return next((v for v in reversed(champions) if v not in excluded and v != current), None)


def quarantines(connection: Connection, model: str) -> list[Quarantine]:
    """The quarantined versions, oldest first."""
    rows = connection.execute(
        """SELECT version, quarantined_at, reason, detail FROM driftline.quarantine
            WHERE model = %s ORDER BY quarantined_at""",
        [model],
    ).fetchall()
    return [Quarantine(*row) for row in rows]


def require_not_quarantined(connection: Connection, model: str, version: int) -> None:
    """Raise an error if a version is quarantined.

    Raises:
        RegistryError: it is quarantined.
    """
    for entry in quarantines(connection, model):
        if entry.version == version:
            raise RegistryError(
                f"version {version} of model {model!r} has been quarantined since "
                f"{entry.quarantined_at:%Y-%m-%d %H:%M} ({entry.reason}): it cannot serve, even "
                f"with --force; 'driftline models reinstate {model} {version} --reason …' lifts it"
            )


def reinstate(connection: Connection, model: str, version: int, *, by: str, reason: str) -> bool:
    """Lift a quarantine and record a version event; false if the version was not quarantined."""
    with connection.transaction():
        lifted = connection.execute(
            "DELETE FROM driftline.quarantine WHERE model = %s AND version = %s", [model, version]
        ).rowcount
        if lifted:
            add_event(connection, model, version, kind="reinstated", by=by, detail=reason)
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
    """Record an event of a version, caused by a person or a worker."""
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
    """Exclude a version from scoring, for all workers, and record a version event.

    Concurrent workers with the same finding record it once.
    """
    with connection.transaction():
        written = connection.execute(
            """INSERT INTO driftline.quarantine (model, version, digest, reason, detail, worker)
               VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING""",
            (model, version, digest, reason, detail, worker),
        ).rowcount
        if written:
            text = f"{reason}: {detail}"
            add_event(connection, model, version, kind="quarantined", by=worker, detail=text)


@contextlib.contextmanager
def locked(connection: Connection, model: str) -> Iterator[None]:
    """Hold the lock on decisions about the model, over several transactions.

    Parameters:
        connection: as role `write`, in no transaction.

    Raises:
        ServiceError: another session held the lock for a minute.
    """
    with locks.session(connection, "promotion", model, _LOCK_TIMEOUT):
        yield


def record_first(connection: Connection, model: str, version: int, *, by: str) -> None:
    """Record the first champion that a job serves, unless there are decisions already.

    Parameters:
        connection: as role `write`, in no transaction.
    """
    with locked(connection, model), connection.transaction():
        if not decisions(connection, model):
            decide(connection, model, version, previous=None, kind="first", by=by)


def events(connection: Connection, model: str) -> list[VersionEvent]:
    """The events of a model's versions, oldest first."""
    rows = connection.execute(
        """SELECT happened_at, version, role, kind, worker, detail FROM driftline.version_event
            WHERE model = %s ORDER BY id""",
        [model],
    ).fetchall()
    return [VersionEvent(*row) for row in rows]


def alias_moves_since(connection: Connection, model: str, since: datetime) -> list[VersionEvent]:
    """Moves of the champion alias outside driftline, and their reversals, oldest first."""
    rows = connection.execute(
        """SELECT happened_at, version, role, kind, worker, detail FROM driftline.version_event
            WHERE model = %s AND kind = ANY(%s) AND happened_at >= %s ORDER BY id""",
        [model, _ALIAS_MOVES, since],
    ).fetchall()
    return [VersionEvent(*row) for row in rows]


def moved_outside(connection: Connection, model: str) -> bool:
    """Whether the last recorded move of the champion alias was made outside driftline."""
    row = connection.execute(
        """SELECT kind FROM driftline.version_event
            WHERE model = %s AND kind = ANY(%s) ORDER BY id DESC LIMIT 1""",
        [model, _ALIAS_MOVES],
    ).fetchone()
    return row is not None and row[0] != "gated"
