"""Compares a jsonb table and view per model with a typed hypertable per model, and their indexes.

Run: `python -m benchmarks.storage_layout --state .driftline` on a running stack (`driftline up`).
It works in a separate schema, `storage_layout`, and drops it at the end. All layouts get the same
batches in turn, so that noise on the machine affects all of them.
"""

import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import orjson
import pgpq
import pyarrow as pa
import typer
from pgpq.encoders import StringEncoderBuilder
from pgpq.schema import Jsonb
from rich.console import Console
from rich.table import Table

from driftline.config import config as configuration
from driftline.storage.connection import Connection, connect

SCHEMA = "storage_layout"
DAYS = 30
START = np.datetime64("2024-01-01T00:00:00", "us")
FEATURES = {
    "dep_delay": "double precision",
    "air_time": "double precision",
    "wind_speed": "double precision",
    "temperature": "double precision",
    "pressure": "double precision",
    "visibility": "double precision",
    "distance": "bigint",
    "hour": "bigint",
    "departures": "bigint",
    "carrier": "text",
    "origin": "text",
    "weekend": "boolean",
}
HEAD = """event_time timestamptz NOT NULL, event_id text NOT NULL, model_version int NOT NULL,
    score double precision, outputs jsonb, late boolean NOT NULL, source int NOT NULL,
    kafka_offset bigint NOT NULL, kafka_time timestamptz NOT NULL, scored_at timestamptz NOT NULL,
    inference_ms real NOT NULL, lag_ms real NOT NULL"""
TYPED = ", ".join(f"{name} {kind}" for name, kind in FEATURES.items())
TIME_ID = "CREATE UNIQUE INDEX ON {} (event_time, event_id)"
ID_TIME = "CREATE UNIQUE INDEX ON {} (event_id, event_time)"
TIME = "CREATE INDEX ON {} (event_time DESC)"
HASH = "CREATE INDEX ON {} USING hash (event_id)"


def brin(columns: str) -> str:
    """A block-range index that PostgreSQL summarises automatically."""
    return f"CREATE INDEX ON {{}} USING brin ({columns}) WITH (autosummarize = on)"


@dataclass
class Layout:
    """A way to store the rows, and its measurements."""

    name: str
    columns: str
    indexes: tuple[str, ...]
    json: bool = False
    encode: float = 0.0
    store: float = 0.0
    resend: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def table(self) -> str:
        return f"{SCHEMA}.{self.name}"

    @property
    def view(self) -> str:
        return f"{self.table}_view" if self.json else self.table


def typed(name: str, *indexes: str) -> Layout:
    """A hypertable with one column per feature."""
    return Layout(name, f"{HEAD}, {TYPED}", indexes)


OFFSETS = brin("kafka_offset")
LAYOUTS = (
    Layout("jsonb", f"{HEAD}, features jsonb", (TIME_ID, OFFSETS), json=True),
    typed("typed", TIME_ID, OFFSETS),
    typed("no_brin", TIME_ID),
    typed("bloom", TIME_ID, brin("event_id text_bloom_ops, kafka_offset")),
    typed("hash", TIME_ID, OFFSETS, HASH),
    typed("id_time", ID_TIME, OFFSETS, TIME),
    typed("id_time_brin", ID_TIME, brin("event_time, kafka_offset")),
)


def main(
    config: Annotated[Path | None, typer.Option(help="driftline.yaml of a running stack.")] = None,
    state: Annotated[Path, typer.Option(help="State folder of a running stack.")] = Path(
        ".driftline"
    ),
    rows: Annotated[int, typer.Option(help="Number of rows in each layout.")] = 1_000_000,
    batch: Annotated[int, typer.Option(help="Number of rows per COPY and transaction.")] = 10_000,
) -> None:
    """Compare the layouts and print the table of `docs/storage-layout.md`."""
    settings = configuration.load(config) if config else configuration.Config(state=state)
    with connect(settings.local_postgres(), "migrate", autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        connection.execute(f"CREATE SCHEMA {SCHEMA}")
        try:
            for layout in LAYOUTS:
                create(connection, layout)
            ids = load(connection, rows, batch)
            for layout in LAYOUTS:
                measure(connection, layout, rows, ids)
        finally:
            connection.execute(f"DROP SCHEMA {SCHEMA} CASCADE")
    show(rows, batch)


def create(connection: Connection, layout: Layout) -> None:
    """Create the hypertable, its indexes, and for jsonb a view with typed columns."""
    connection.execute(f"CREATE TABLE {layout.table} ({layout.columns})")
    connection.execute(
        f"SELECT create_hypertable('{layout.table}', by_range('event_time', INTERVAL '7 days'),"
        " create_default_indexes => false)"
    )
    for index in layout.indexes:
        connection.execute(index.format(layout.table))
    if layout.json:
        casts = ", ".join(f"(features->>'{n}')::{kind} AS {n}" for n, kind in FEATURES.items())
        connection.execute(
            f"CREATE VIEW {layout.view} AS SELECT event_time, event_id, score, source,"
            f" kafka_offset, {casts} FROM {layout.table}"
        )


def batches(rows: int, size: int) -> Iterator[pa.RecordBatch]:
    """The same rows for every layout: almost in order of time, with random ids."""
    rng = np.random.default_rng(1)
    step = DAYS * 86_400_000_000 // rows
    for start in range(0, rows, size):
        n = min(size, rows - start)
        index = np.arange(start, start + n)
        at = START + (index * step + rng.integers(0, 60_000_000, n)).astype("timedelta64[us]")
        yield pa.RecordBatch.from_pydict({**_head(rng, index, at), **_features(rng, n)})


def _head(rng: np.random.Generator, index: Any, at: Any) -> dict[str, pa.Array]:
    n = len(index)
    times = pa.array(at, pa.timestamp("us", tz="UTC"))
    return {
        "event_time": times,
        "event_id": pa.array([uuid.UUID(bytes=rng.bytes(16)).hex for _ in range(n)]),
        "model_version": pa.array(np.ones(n, np.int32)),
        "score": pa.array(rng.random(n)),
        "outputs": pa.nulls(n, pa.string()),
        "late": pa.array(np.zeros(n, bool)),
        "source": pa.array((index % 4).astype(np.int32)),
        "kafka_offset": pa.array(index // 4),
        "kafka_time": times,
        "scored_at": times,
        "inference_ms": pa.array(rng.random(n).astype(np.float32)),
        "lag_ms": pa.array((rng.random(n) * 100).astype(np.float32)),
    }


def _features(rng: np.random.Generator, n: int) -> dict[str, pa.Array]:
    columns: dict[str, pa.Array] = {}
    for name, kind in FEATURES.items():
        missing = rng.random(n) < 0.02
        if kind == "double precision":
            columns[name] = pa.array(np.round(rng.normal(50, 20, n), 2), mask=missing)
        elif kind == "bigint":
            columns[name] = pa.array(rng.integers(0, 3_000, n), mask=missing)
        elif kind == "text":
            columns[name] = pa.array(rng.choice(["UA", "B6", "EV", "DL", "AA"], n), mask=missing)
        else:
            columns[name] = pa.array(rng.random(n) < 0.3, mask=missing)
    return columns


def load(connection: Connection, rows: int, size: int) -> list[str]:
    """Store every batch in every layout, some of them twice; returns some ids to look up."""
    ids: list[str] = []
    for number, rows_in in enumerate(batches(rows, size)):
        ids.append(rows_in.column("event_id")[number % size].as_py())
        for layout in LAYOUTS:
            store(connection, layout, rows_in, resend=number % 10 == 0)
    return ids


def store(connection: Connection, layout: Layout, rows: pa.RecordBatch, *, resend: bool) -> None:
    """Store rows with one COPY; `resend` stores them again, past the unique index."""
    begin = time.perf_counter()
    encoded = list(_encode(_as_json(rows) if layout.json else rows))
    encoded_at = time.perf_counter()
    _copy(connection, layout.table, encoded)
    stored_at = time.perf_counter()
    layout.encode += encoded_at - begin
    layout.store += stored_at - encoded_at
    if resend:
        with connection.transaction():
            connection.execute(f"CREATE TEMP TABLE resend (LIKE {layout.table}) ON COMMIT DROP")
            _copy(connection, "resend", encoded)
            connection.execute(
                f"INSERT INTO {layout.table} SELECT * FROM resend"
                " ORDER BY event_time, event_id ON CONFLICT DO NOTHING"
            )
        layout.resend += time.perf_counter() - stored_at


def _as_json(rows: pa.RecordBatch) -> pa.RecordBatch:
    """The features as one column of JSON."""
    documents = rows.select(list(FEATURES)).to_pylist()
    text = pa.array([orjson.dumps(document).decode() for document in documents])
    head = rows.select([name for name in rows.schema.names if name not in FEATURES])
    return pa.RecordBatch.from_arrays([*head.columns, text], names=[*head.schema.names, "features"])


def _encode(rows: pa.RecordBatch) -> Iterator[bytes]:
    infer = pgpq.ArrowToPostgresBinaryEncoder.infer_encoder
    encoders = {column.name: infer(column) for column in rows.schema}
    for name in {"outputs", "features"} & set(encoders):
        encoders[name] = StringEncoderBuilder.new_with_output(rows.schema.field(name), Jsonb())
    encoder = pgpq.ArrowToPostgresBinaryEncoder.new_with_encoders(rows.schema, encoders)
    yield encoder.write_header()
    yield encoder.write_batch(rows)
    yield encoder.finish()


def _copy(connection: Connection, table: str, parts: list[bytes]) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {table} FROM STDIN (FORMAT binary)") as c,
    ):
        for part in parts:
            c.write(part)


def measure(connection: Connection, layout: Layout, rows: int, ids: list[str]) -> None:
    """Measure sizes, and the times of typical queries of users and the job."""
    connection.execute(f"VACUUM (ANALYZE) {layout.table}")
    size = _one(connection, f"SELECT hypertable_size('{layout.table}')")
    index = _one(
        connection, f"SELECT sum(index_bytes) FROM hypertable_detailed_size('{layout.table}')"
    )
    day = "event_time >= '2024-01-15' AND event_time < '2024-01-16'"
    panel = (
        "SELECT time_bucket('1 hour', event_time) AS hour, avg(dep_delay),"
        " percentile_cont(0.95) WITHIN GROUP (ORDER BY air_time)"
        f" FROM {layout.view} WHERE {day} GROUP BY 1"
    )
    last = rows // 4 - 1
    offsets = f"source = 1 AND kafka_offset BETWEEN {last // 2} AND {last // 2 + 2_500}"
    layout.figures = {
        "bytes per row": size / rows,
        "of which indexes": index / rows,
        "panel ms": _median_ms(connection, [panel] * 7),
        "by id ms": _median_ms(
            connection,
            [f"SELECT score FROM {layout.view} WHERE event_id = '{i}'" for i in ids[:31]],
        ),
        "by offsets ms": _median_ms(
            connection, [f"SELECT event_id FROM {layout.view} WHERE {offsets}"] * 7
        ),
    }


def _one(connection: Connection, query: str) -> float:
    row = connection.execute(query).fetchone()
    return float(row[0]) if row else 0.0


def _median_ms(connection: Connection, queries: list[str]) -> float:
    def timed(query: str) -> float:
        begin = time.perf_counter()
        connection.execute(query).fetchall()
        return time.perf_counter() - begin

    timed(queries[0])
    return 1_000 * statistics.median(timed(query) for query in queries)


def show(rows: int, batch: int) -> None:
    """Print the table, one column per layout."""
    resent_rows = len(range(0, -(-rows // batch), 10)) * batch
    lines: dict[str, Callable[[Layout], str]] = {
        "rows/s, encode and COPY": lambda layout: f"{rows / (layout.encode + layout.store):,.0f}",
        "rows/s, COPY alone": lambda layout: f"{rows / layout.store:,.0f}",
        "rows/s, all repeated": lambda layout: f"{resent_rows / layout.resend:,.0f}",
        "bytes per row": lambda layout: f"{layout.figures['bytes per row']:.0f}",
        "of which indexes": lambda layout: f"{layout.figures['of which indexes']:.0f}",
        "panel, ms": lambda layout: f"{layout.figures['panel ms']:.1f}",
        "look-up by id, ms": lambda layout: f"{layout.figures['by id ms']:.1f}",
        "2,500 offsets, ms": lambda layout: f"{layout.figures['by offsets ms']:.1f}",
    }
    table = Table("", *(layout.name for layout in LAYOUTS))
    for label, figure in lines.items():
        table.add_row(label, *(figure(layout) for layout in LAYOUTS))
    Console(width=120).print(table)


if __name__ == "__main__":
    typer.run(main)
