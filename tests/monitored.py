"""A store as a job and the monitors leave it after three days: two models, one of them in trouble.

Tests of panels, of the preview and the screenshots all use it. Version 2 of `fraud` first scores
as a shadow, then serves; in the last hours its amounts drift; on the second day countries are
missing and inference is slow; labels come for what is older than six hours.
"""

import gzip
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from psycopg import sql

from driftline.config import Config, Model
from driftline.storage.connection import Connection, connect
from driftline.storage.tables import schema

FRAUD, CHURN = "fraud", "churn"
MODELS = (FRAUD, CHURN)
OTHERS = {"arrival-time": 0.9, "ranking": 1.3, "support-triage": 0.2, "ad-clicks": 0.7}  # traffic
HOURS = 72
SECONDS = 3_600
PER_HOUR = 240
BINS = 20
SEGMENTS = ("", "country=de", "country=fr", "country=it", "country=<other>")
SHARES = (1.0, 0.45, 0.3, 0.15, 0.1)
FEATURES = pa.schema(
    [
        ("amount", pa.float64()),
        ("items", pa.int64()),
        ("country", pa.string()),
        ("device", pa.string()),
        ("account_age_days", pa.float64()),
        ("distance_km", pa.float64()),
        ("merchant_risk", pa.float64()),
        ("attempts_1h", pa.int64()),
    ]
)
_TEXTS = {"country": ("de", "fr", "it", "es", "pl", "other"), "device": ("ios", "android", "web")}
_SCALES = {  # middle and spread of the numbers
    "amount": (54.0, 31.0),
    "items": (3.0, 1.6),
    "account_age_days": (410.0, 250.0),
    "distance_km": (12.0, 9.0),
    "merchant_risk": (0.21, 0.12),
    "attempts_1h": (1.2, 0.8),
    "score": (0.12, 0.09),
    "inference_ms": (3.2, 1.1),
    "lag_ms": (62.0, 20.0),
}
_REPORT = """<!doctype html><title>Evidently</title><body style="font-family: sans-serif">
<h1>Data drift of fraud</h1><p>1 of 8 columns drifted.</p><p id="told"></p><script>
document.title = "ran";
let cookies = "cookies";
try { document.cookie; } catch { cookies = "no cookies"; }
fetch("/api/dashboards").then(() => "requests", () => "no requests")
  .then((asked) => { document.getElementById("told").textContent = `${cookies}, ${asked}`; });
</script>"""
_MARKUP = "<img src=x onerror=fail()>"  # as an attacker might name something


def section() -> dict[str, Any]:
    """A model's part of the config."""
    kinds = {"double": "float", "int64": "int", "string": "string"}
    fields = {field.name: kinds[str(field.type)] for field in FEATURES}
    return {
        "input": {
            "topic": "payments",
            "event_id": "event_id",
            "event_time": "time",
            "fields": fields,
        },
        "registry": {"name": FRAUD},
        "labels": {"topic": "chargebacks", "type": "bool"},
        "segments": ["country"],
        "monitors": {
            "windows": ["1 h"],
            "latency": {"inference": {"limit": "12 ms"}},
        },
        "runbook": "https://wiki.example/fraud",
    }


def config(database: Config) -> Config:
    """The config of both models; `fraud` has a dashboard of its own."""
    models = {
        FRAUD: Model.model_validate({**section(), "dashboard": "own"}),
        CHURN: Model.model_validate({**section(), "registry": {"name": CHURN}}),
    }
    return database.model_copy(update={"models": models})


@dataclass(frozen=True)
class Hour:
    """One window of one model, and what is wrong in it."""

    model: str
    number: int
    end: datetime

    @property
    def troubled(self) -> bool:
        """Whether its amounts have drifted."""
        return self.model == FRAUD and self.number >= HOURS - 10

    @property
    def lacking(self) -> bool:
        """Whether countries are missing and inference is slow."""
        return self.model == FRAUD and 30 <= self.number < 34

    @property
    def version(self) -> int:
        """The version that serves."""
        return 2 if self.model == FRAUD and self.number >= 40 else 1

    @property
    def rows(self) -> int:
        """More by day than by night."""
        day = 1 + 0.6 * np.sin((self.number - 6) / 24 * 2 * np.pi)
        return int(PER_HOUR * day * {FRAUD: 1.0, CHURN: 0.4, **OTHERS}[self.model])

    def tilt(self, column: str) -> float:
        """How far a column leans towards its upper bins."""
        wave = 0.15 * np.sin(self.number / 24 * 2 * np.pi + len(column))
        if self.troubled and column == "amount":
            return float(2.4 + wave)
        if self.troubled and column == "score":
            return float(0.9 + wave)
        if self.lacking and column == "inference_ms":
            return 3.0
        return float(wave)


def migrated(database: Config) -> Config:
    """The config with its tables."""
    made = config(database)
    schema.migrate(made, dict.fromkeys((*MODELS, *OTHERS), FEATURES))
    return made


def fill(made: Config, now: datetime | None = None) -> None:
    """Write all of it, ending at the last full hour before `now`."""
    rng = np.random.default_rng(7)
    end = (now or datetime.now(UTC)).replace(minute=0, second=0, microsecond=0)
    with connect(made.postgres, "migrate") as connection:
        for name in (*MODELS, *OTHERS):
            hours = [
                Hour(name, number, end - timedelta(hours=HOURS - 1 - number))
                for number in range(HOURS)
            ]
            _versions(connection, name, hours)
            _judged_windows(connection, hours)
            _verdicts(connection, hours, rng)
            _alerts(connection, name, hours)
            if name in MODELS:
                _stats_of(connection, hours, rng)
                _events(connection, hours, rng)
        _runner(connection)
    with connect(made.postgres, "migrate", autocommit=True) as connection:
        connection.execute("ANALYZE")


def _copy(
    connection: Connection, table: str, columns: str, rows: Iterator[tuple[Any, ...]]
) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, columns.split()))
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier("driftline", table), names)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _versions(connection: Connection, name: str, hours: list[Hour]) -> None:
    latest = 2 if name == FRAUD else 1
    _copy(
        connection,
        "model_version",
        "model version digest signature features_hash binning_id registered_at",
        ((name, one, "d", "{}", "f", "b", hours[0].end) for one in range(1, latest + 1)),
    )
    decided: list[tuple[Any, ...]] = [(hours[0].end, name, 1, None, "first", "anna", "go live")]
    if name == FRAUD:
        bad, good = hours[20].end, hours[39].end
        decided.append((bad, name, 2, 1, "refused", "ben", "agreement 88 % of 95 %"))
        decided.append((good, name, 2, 1, "promoted", "ben", f"AUC 0.871 {_MARKUP}"))
    _copy(
        connection,
        "promotion",
        "decided_at model version previous kind decided_by reason",
        iter(decided),
    )


def _judged_windows(connection: Connection, hours: list[Hour]) -> None:
    _copy(
        connection,
        "judged_window",
        "window_end model window_seconds revision rows final",
        (
            (hour.end, hour.model, SECONDS, int(hour.number == 25), hour.rows, True)
            for hour in hours
        ),
    )


def _stats_of(connection: Connection, hours: list[Hour], rng: np.random.Generator) -> None:
    _copy(
        connection,
        "window_stat",
        "window_end model window_seconds version role segment column rows missing invalid mean"
        " p50 p95 p99 labels counts reference_shares",
        (row for hour in hours for row in _stats(hour, rng)),
    )


def _stats(hour: Hour, rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    columns = [*FEATURES.names, "score", "inference_ms", "lag_ms"]
    for segment, share in zip(SEGMENTS, SHARES, strict=True):
        for column in columns if segment == "" else ["score", "amount"]:
            of: dict[str, Any] = {
                "segment": segment,
                "column": column,
                "rows": round(hour.rows * share),
            }
            yield _stat(hour, hour.version, "served", **of, rng=rng)
    if hour.model == FRAUD and hour.version == 1:
        for column in ("score", "inference_ms"):
            of = {"segment": "", "column": column, "rows": hour.rows}
            yield _stat(hour, 2, "shadow", **of, rng=rng)


def _stat(
    hour: Hour,
    version: int,
    role: str,
    *,
    segment: str,
    column: str,
    rows: int,
    rng: np.random.Generator,
) -> tuple[Any, ...]:
    missing = round(rows * (0.28 if hour.lacking and column == "country" else 0.01))
    labels = _labels(column)
    places = np.linspace(-0.5, 0.5, len(labels))
    reference = np.exp(-np.arange(len(labels)) / 3) if column in _TEXTS else np.ones(len(labels))
    reference /= reference.sum()
    lean = hour.tilt(column) + 0.2 * (version - 1) + 0.1 * len(segment) / 10
    shares = reference * np.exp(lean * places)
    shares /= shares.sum()
    counts = np.rint(rng.multinomial(25 * (rows - missing), shares) / 25).astype(int)
    figures: tuple[float | None, ...] = (None,) * 4
    if column in _SCALES:
        middle, spread = _SCALES[column]
        moved = middle + spread * float((counts * places).sum() / max(counts.sum(), 1)) * 3
        figures = (moved, moved * 0.94, moved + 1.7 * spread, moved + 2.4 * spread)
    return (
        hour.end,
        hour.model,
        SECONDS,
        version,
        role,
        segment,
        column,
        rows,
        missing,
        0,
        *figures,
        labels,
        counts.tolist(),
        reference.tolist(),
    )


def _labels(column: str) -> list[str]:
    if column in _TEXTS:
        return list(_TEXTS[column])
    middle, spread = _SCALES[column]
    edges = middle + spread * np.linspace(-1.2, 2.4, BINS - 1)
    inner = [f"[{low:.6g}, {high:.6g})" for low, high in itertools.pairwise(edges)]
    return [f"< {edges[0]:.6g}", *inner, f">= {edges[-1]:.6g}"]


def _verdicts(connection: Connection, hours: list[Hour], rng: np.random.Generator) -> None:
    _copy(
        connection,
        "verdict",
        "window_end model window_seconds segment column monitor family version revision rows"
        " status alerts value expected threshold p_value level effect provisional detail low high",
        (row for hour in hours for row in _judged(hour, rng)),
    )


def _judged(hour: Hour, rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    def verdict(
        look: tuple[str, str, str],
        effect: float | None = None,
        *,
        status: str = "ok",
        rows: int = hour.rows,
        **more: Any,
    ) -> tuple[Any, ...]:
        monitor, family, column = look
        numbers = [more.get(name) for name in ("value", "expected", "threshold", "p")]
        return (
            *(hour.end, hour.model, SECONDS, "", column, monitor, family, hour.version, 1),
            *(rows, status, True, *numbers, 0.001, effect, False, more.get("detail", "")),
            *(more.get(name) for name in ("low", "high")),
        )

    for column in (*FEATURES.names, "score"):
        for monitor in ("jensen_shannon", "location"):
            effect = float(hour.tilt(column) * 4 + rng.normal(0, 0.8))
            yield verdict(
                (monitor, "drift", column),
                effect,
                status=_status(hour, column, monitor, effect),
                value=abs(effect) / 60,
                threshold=0.08,
                p=float(np.exp(-abs(effect))),
                detail=f"{column} moved by {effect:.1f} standard units",
            )
        bad = hour.lacking and column == "country"
        status, share = ("alarm", 0.28) if bad else ("ok", 0.01)
        yield verdict(("missing", "quality", column), status=status, value=share, expected=0.01)
    slow = "alarm" if hour.lacking else "ok"
    yield verdict(("burn_rate", "latency", "inference_ms"), status=slow, value=1.0, threshold=14.4)
    yield verdict(("volume", "volume", ""), value=float(hour.rows), expected=float(PER_HOUR))
    good = 0.87 - 0.09 * hour.troubled + float(rng.normal(0, 0.008))
    look = ("estimated_auc", "performance", "score")
    yield verdict(look, value=good - 0.004, expected=0.87)
    if hour.number < HOURS - 6:
        yield verdict(
            ("realised_auc", "performance", "score"),
            status="alarm" if good < 0.82 else "ok",
            rows=round(hour.rows * 0.93),
            value=good,
            expected=0.87,
            threshold=0.82,
            low=good - 0.02,
            high=good + 0.02,
        )


def _status(hour: Hour, column: str, monitor: str, effect: float) -> str:
    if hour.number < 3:
        return "not_calibrated"
    if column == "attempts_1h" and monitor == "location":
        return "shown"
    return "alarm" if abs(effect) > 5 else "ok"


@dataclass(frozen=True)
class Batch:
    """The events of one hour."""

    hour: Hour
    source: int
    offset: int
    times: list[datetime]
    scores: npt.NDArray[np.float64]

    @cached_property
    def ids(self) -> list[str]:
        """Of the events."""
        return [f"{self.hour.model}-{self.offset + i}" for i in range(len(self.times))]


def _events(connection: Connection, hours: list[Hour], rng: np.random.Generator) -> None:
    """Rows, shadows, labels, profiles, and the ledger that agrees with them."""
    name = hours[0].model
    row = connection.execute(
        "INSERT INTO driftline.source (model, stream, topic, partition)"
        " VALUES (%s, 'events', 'payments', 0) RETURNING id",
        [name],
    ).fetchone()
    assert row is not None
    source, offset = int(row[0]), 0
    for hour in hours:
        seconds = np.sort(rng.uniform(0, SECONDS, hour.rows))
        start = hour.end - timedelta(seconds=SECONDS)
        times = [start + timedelta(seconds=float(second)) for second in seconds]
        batch = Batch(hour, source, offset, times, rng.beta(1.2, 6, hour.rows))
        _rows(connection, batch, rng)
        _truth(connection, batch, rng)
        _profiles(connection, hour, times)
        _ledger(connection, hour, source, offset, hour.rows)
        offset += hour.rows


def _rows(connection: Connection, batch: Batch, rng: np.random.Generator) -> None:
    hour, base = batch.hour, "event_time event_id model_version role score"
    numbers = [name for name in FEATURES.names if name not in _TEXTS]
    middle, spread = (np.array([_SCALES[name][i] for name in numbers]) for i in (0, 1))
    whole = [FEATURES.field(name).type == pa.int64() for name in numbers]
    values = middle + spread * rng.normal(0, 1, (len(batch.times), len(numbers)))

    def row(i: int) -> tuple[Any, ...]:
        time = batch.times[i]
        features = (round(v) if w else float(v) for v, w in zip(values[i], whole, strict=True))
        return (
            *(time, batch.ids[i], hour.version, "champion", float(batch.scores[i]), False),
            *(batch.source, batch.offset + i, time, time + timedelta(milliseconds=60)),
            *(3.2, 62.0, "de", "web", *features),
        )

    columns = f"{base} late source kafka_offset kafka_time scored_at inference_ms lag_ms"
    columns += f" country device {' '.join(numbers)}"
    _copy(connection, f"prediction_{hour.model}", columns, map(row, range(len(batch.times))))
    if hour.model == FRAUD and hour.version == 1:
        _copy(
            connection,
            f"shadow_{hour.model}",
            f"{base} source kafka_offset scored_at inference_ms",
            (
                (
                    *(time, batch.ids[i], 2, "shadow", float(batch.scores[i]) * 0.97),
                    *(batch.source, batch.offset + i, time, 3.0),
                )
                for i, time in enumerate(batch.times)
            ),
        )


def _truth(connection: Connection, batch: Batch, rng: np.random.Generator) -> None:
    hour = batch.hour
    if hour.number >= HOURS - 6:
        return
    noise = 0.2 if hour.troubled else 0.13
    truth = batch.scores + rng.normal(0, noise, len(batch.times)) > 0.35
    wait = timedelta(hours=3)
    _copy(
        connection,
        "label",
        "label_time model event_id label source kafka_offset kafka_time",
        (
            (
                *(time + wait, hour.model, batch.ids[i], float(truth[i])),
                *(batch.source, batch.offset + i, time),
            )
            for i, time in enumerate(batch.times)
            if i % 14
        ),
    )


def _profiles(connection: Connection, hour: Hour, times: list[datetime]) -> None:
    counts: dict[datetime, int] = {}
    for time in times:
        minute = time.replace(second=0, microsecond=0)
        counts[minute] = counts.get(minute, 0) + 1
    _copy(
        connection,
        "profile",
        "bucket model span_minutes version role segment binning_id rows cells",
        (
            (minute, hour.model, 1, hour.version, "served", segment, "b", rows, b"")
            for minute, rows in counts.items()
            for segment in SEGMENTS[:2]
        ),
    )


def _ledger(connection: Connection, hour: Hour, source: int, offset: int, n: int) -> None:
    batches = np.array_split(np.arange(n), 6)
    start = hour.end - timedelta(seconds=SECONDS)
    rejected = 3 if hour.number % 5 == 0 else 0
    _copy(
        connection,
        "ledger",
        "committed_at source first_offset last_offset offsets logged duplicate rejected filtered",
        (
            (
                *(start + timedelta(minutes=10 * number), source),
                *(offset + int(batch[0]), offset + int(batch[-1])),
                f"{{[{offset + int(batch[0])},{offset + int(batch[-1]) + 1})}}",
                *(len(batch), 4, rejected, 1),
            )
            for number, batch in enumerate(batches)
        ),
    )
    reasons = ("not_json", "missing_field", "time_out_of_range")
    _copy(
        connection,
        "rejected",
        "rejected_at source kafka_offset kafka_time reason detail",
        (
            (start, source, offset + number, start, reasons[number], "unexpected end of data")
            for number in range(rejected)
        ),
    )


def _alerts(connection: Connection, name: str, hours: list[Hour]) -> None:
    troubled = name == FRAUD
    end = hours[-1].end
    report = None
    if troubled:
        row = connection.execute(
            "INSERT INTO driftline.report (model, since, until, rows, summary, html)"
            " VALUES (%s, %s, %s, 5000, %s, %s) RETURNING id",
            [name, hours[-11].end, end, json.dumps({}), gzip.compress(_REPORT.encode())],
        ).fetchone()
        report = row and row[0]
    open_, closed = hours[-9].end, hours[31].end
    lacking = "country: 28 % missing, 1 % expected"
    worse = "AUC 0.78, 0.87 expected"
    told = "amount moved by 9.6 standard units, score by 3.6"
    ended = (closed, hours[34].end, hours[36].end)
    incidents: list[tuple[Any, ...]] = [
        (name, "latency", "page", 1, *ended, "p99 9.1 ms, 12 ms allowed", None),
        (name, "quality", "ticket", 1, *ended, lacking, None),
        (name, "drift", "ticket", 2, open_, end, None, told, report),
        (name, "performance", "page", 2, hours[-8].end, end, None, worse, report),
    ]
    _copy(
        connection,
        "incident",
        "model family severity version since last resolved_at summary report_id contributors",
        ((*one, "[]") for one in incidents if troubled),
    )
    states = {"drift": "firing", "performance": "firing"} if troubled else {}
    states |= {"drift": "pending"} if name == "ad-clicks" else {}
    _copy(
        connection,
        "alert",
        "model family team state severity since",
        (
            (name, family, "payments", states.get(family, "ok"), severity, open_)
            for family, severity in (
                *(("drift", "ticket"), ("quality", "ticket"), ("latency", "page")),
                *(("volume", "page"), ("performance", "page")),
            )
        ),
    )
    connection.execute(
        "UPDATE driftline.alert SET incident_id = incident.id, summary = incident.summary"
        "  FROM driftline.incident WHERE alert.state = 'firing' AND resolved_at IS NULL"
        "   AND incident.model = alert.model AND incident.family = alert.family"
    )
    connection.execute(
        "INSERT INTO driftline.monitor_progress (model, shard, clock, judged_until, lag_seconds)"
        " VALUES (%s, 0, %s, %s, 4.2)",
        [name, end, end],
    )


def _runner(connection: Connection) -> None:
    connection.execute(
        "INSERT INTO driftline.runner (id, shards, models, lag_seconds)"
        " VALUES ('runner-1', '{0,1,2,3}', 6, 4.2)"
    )
