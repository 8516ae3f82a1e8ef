"""How the conformance suite looks into the store of each sink, and how it disturbs it."""

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, Self

import pyarrow as pa

from driftline.config import Config
from driftline.profile.binning import Binning
from driftline.profile.profile import Profile
from driftline.profile.recount import recount
from driftline.records import PREDICTION
from driftline.services.stack import Stack
from driftline.storage.connection import connect
from driftline.streaming.sinks import SINKS, Sink
from tests.contracts.messages import FEATURES, MODEL, VERSION, Expected
from tests.databases import superuser
from tests.faults import CuttingProxy

_HOURS = itertools.count()
_START = datetime(2024, 3, 1)


class Store(Protocol):
    """A part of a sink's store that nobody else writes to."""

    @property
    def start(self) -> datetime:
        """The first event time of this part; it holds an hour."""

    def sink(self) -> Sink:
        """A new sink over this part."""

    def check(self, expected: Expected) -> None:
        """See that it holds exactly that, and that profiles and ledger agree with its rows."""

    def disconnect(self) -> int:
        """Cut the connections of its sinks; tells how many there were."""

    def cutting(self) -> Any:
        """A context: the same part, reached through a `CuttingProxy`, and the proxy."""


@dataclass(frozen=True)
class TimescaleStore:
    """A topic and an hour of event time of its own in one database."""

    stack: Stack
    config: Config
    binning: Binning
    topic: str
    start: datetime

    @classmethod
    def new(cls, stack: Stack, config: Config, binning: Binning) -> Self:
        """A part that is empty."""
        number = next(_HOURS)
        topic = f"events-{number}"
        model = config.model(MODEL)
        own = model.model_copy(update={"input": model.input.model_copy(update={"topic": topic})})
        config = config.model_copy(update={"models": {MODEL: own}})
        return cls(stack, config, binning, topic, _START + timedelta(hours=number))

    def sink(self) -> Sink:
        return SINKS["timescaledb"](self.config, MODEL, lambda _: self.binning)

    def disconnect(self) -> int:
        with superuser(self.stack, self.config, self.config.postgres.database) as connection:
            row = connection.execute(
                """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                    WHERE datname = current_database() AND application_name = 'driftline-write'"""
            ).fetchone()
        return int(row[0]) if row else 0

    @contextmanager
    def cutting(self) -> Iterator[tuple["TimescaleStore", CuttingProxy]]:
        address = self.config.local_postgres()
        with CuttingProxy(address.host, address.port) as proxy:
            through = address.model_copy(update={"host": "127.0.0.1", "port": proxy.port})
            config = self.config.model_copy(update={"postgres": through})
            yield replace(self, config=config), proxy

    def check(self, expected: Expected) -> None:
        rows = self._rows()
        assert [_without(row, "lag_ms") for row in rows] == sorted(
            (
                {
                    **_aware(message.prediction()),
                    "outputs": None if message.outputs is None else json.loads(message.outputs),
                    "partition": message.partition,
                    "kafka_offset": message.offset,
                    "kafka_time": message.kafka_time.replace(tzinfo=UTC),
                }
                for message in expected.logged.values()
            ),
            key=lambda row: (row["partition"], row["kafka_offset"]),
        )
        assert self._ledger() == expected.outcomes.keys()
        assert self._counts() == Counter(expected.outcomes.values())
        assert self._rejected() == _at(expected, "rejected")
        assert self._duplicates() == _at(expected, "duplicate")
        self._check_profiles(rows)

    def _check_profiles(self, rows: list[Mapping[str, Any]]) -> None:
        kinds = pa.schema([("lag_ms", pa.float32()), ("inference_ms", pa.float32()),
                           ("score", pa.float64()), *FEATURES])  # fmt: skip
        table = pa.Table.from_pylist([dict(row) for row in rows], schema=kinds)
        stored = self._query(
            """SELECT bucket, segment, version, role, binning_id, rows, cells FROM driftline.profile
                WHERE model = %s AND bucket >= %s AND bucket < %s""",
            MODEL, self.start.replace(tzinfo=UTC),
            self.start.replace(tzinfo=UTC) + timedelta(hours=1),
        )  # fmt: skip
        assert {row[2:5] for row in stored} <= {(VERSION, "served", self.binning.id)}
        whole = [row for row in stored if row[1] == ""]
        assert Profile.of(self.binning, *(row[6] for row in whole)) == recount(table, self.binning)
        minutes: Counter[datetime] = Counter()
        for bucket, *_, n, _ in whole:
            minutes[bucket] += n
        times = [row["event_time"] for row in rows]
        assert minutes == Counter(time.replace(second=0, microsecond=0) for time in times)
        for country in {row["country"] for row in rows} & {"de", "fr"}:
            mine = table.filter(pa.compute.equal(table.column("country"), country))
            segment = f"country={country}"
            cells = (row[6] for row in stored if row[1] == segment)
            assert Profile.of(self.binning, *cells) == recount(mine, self.binning), segment

    def _rows(self) -> list[Mapping[str, Any]]:
        known = [*PREDICTION.names, "lag_ms", "kafka_offset", "kafka_time", *FEATURES.names]
        rows = self._query(
            f"""SELECT {", ".join(known)}, partition FROM driftline.prediction_{MODEL}
                  JOIN driftline.source ON source.id = source WHERE topic = %s
                 ORDER BY partition, kafka_offset""",
            self.topic,
        )
        return [dict(zip([*known, "partition"], row, strict=True)) for row in rows]

    def _ledger(self) -> set[tuple[int, int]]:
        """The settled positions; none may be settled twice."""
        positions = self._query(
            """SELECT partition, generate_series(lower(r), upper(r) - 1)
                 FROM (SELECT partition, unnest(offsets) AS r FROM driftline.ledger
                         JOIN driftline.source ON source.id = source WHERE topic = %s) AS ranges""",
            self.topic,
        )
        assert len(positions) == len(set(positions))
        return set(positions)

    def _counts(self) -> dict[str, int]:
        names = ("logged", "duplicate", "rejected", "filtered")
        sums = ", ".join(f"coalesce(sum({name}), 0)::int" for name in names)
        [row] = self._query(
            f"""SELECT {sums} FROM driftline.ledger
                  JOIN driftline.source ON source.id = source WHERE topic = %s""",
            self.topic,
        )
        return {name: n for name, n in zip(names, row, strict=True) if n}

    def _rejected(self) -> set[tuple[int, int]]:
        rows = self._query(
            """SELECT partition, kafka_offset, kafka_time, reason, detail, payload
                 FROM driftline.rejected JOIN driftline.source ON source.id = source
                WHERE topic = %s""",
            self.topic,
        )
        for _, offset, *content in rows:
            assert content == [
                datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=offset),
                "wrong_type",
                f"offset {offset}",
                b"\0\xff" * (offset % 3) or None,
            ]
        assert len(rows) == len({row[:2] for row in rows})
        return {row[:2] for row in rows}

    def _duplicates(self) -> set[tuple[int, int]]:
        rows = self._query(
            f"""SELECT s.partition, d.kafka_offset, d.event_id, d.event_time,
                       (SELECT count(*) FROM driftline.prediction_{MODEL} AS p
                         WHERE (p.event_time, p.event_id) = (d.event_time, d.event_id))
                  FROM driftline.duplicate AS d JOIN driftline.source AS s ON s.id = d.source
                 WHERE s.topic = %s""",
            self.topic,
        )
        assert {row[4] for row in rows} <= {1}, "a duplicate points to one stored row"
        assert len(rows) == len({row[:2] for row in rows})
        return {row[:2] for row in rows}

    def _query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with connect(self.config.local_postgres(), "read") as connection:
            connection.execute("SET timezone TO 'UTC'")
            return connection.execute(statement, values).fetchall()


STORES = {"timescaledb": TimescaleStore.new}


def _at(expected: Expected, outcome: str) -> set[tuple[int, int]]:
    return {position for position, found in expected.outcomes.items() if found == outcome}


def _aware(row: dict[str, Any]) -> dict[str, Any]:
    return {k: v.replace(tzinfo=UTC) if isinstance(v, datetime) else v for k, v in row.items()}


def _without(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}
