"""What slow drift adds up, and since when."""

from collections.abc import Callable
from datetime import datetime, timedelta

from driftline.monitors.running.backfill import backfill
from driftline.monitors.running.runner import Runner
from driftline.storage.connection import connect
from driftline.storage.monitoring import references
from driftline.storage.monitoring.references import StoredReference
from tests.integration.monitors.conftest import HOUR, START, Stream, monitors

SLIDING = monitors(windows=[{"length": "4 h", "every": "1 h"}])


def added_up(stream: Stream) -> dict[datetime, int]:
    """How many windows slow drift of the amount has added up at each window."""
    return dict(
        stream.sql(
            "SELECT window_end, rows FROM driftline.verdict"
            " WHERE monitor = 'slow_drift' AND \"column\" = 'amount' ORDER BY 1"
        )
    )


def sums(stream: Stream) -> list[tuple[object, ...]]:
    return stream.sql(
        'SELECT window_end, "column", rows, status, value, detail FROM driftline.verdict'
        " WHERE monitor = 'slow_drift' ORDER BY 1, 2"
    )


def set_again(stream: Stream) -> None:
    """The same reference, as if it were another."""
    with connect(stream.config.postgres, "write", autocommit=True) as connection:
        stored = references.read(connection, stream.name, 1)
        assert stored is not None
        fields = stored.model, stored.version, stored.profile, stored.origin
        references.write(connection, StoredReference(*fields), [])


def test_sliding_windows_are_added_up_where_they_do_not_overlap(
    make_stream: Callable[..., Stream],
) -> None:
    live, past = (make_stream(monitors=SLIDING) for _ in range(2))
    runner = Runner(live.config)
    for hour in range(22):
        for stream in (live, past):
            stream.hour(hour, n=100)
        if hour % 5 == 0:
            runner.run(once=True)
    for stream in (live, past):
        stream.hour(6, n=50, shift=30.0)  # late: windows of both kinds are judged again
    runner.run(once=True)
    backfill(past.config, past.name, START, START + timedelta(days=1))
    ends = [START + n * 4 * HOUR for n in range(1, 6)]
    assert added_up(live) == {end: n for n, end in enumerate(ends, 1)}
    assert sums(live) == sums(past)


def test_what_was_measured_against_an_older_reference_is_not_added_up(
    make_stream: Callable[..., Stream],
) -> None:
    stream = make_stream()
    for hour in range(7):
        stream.hour(hour, n=200, shift=3.0)
    Runner(stream.config).run(once=True)
    assert added_up(stream) == {START + n * HOUR: n for n in range(1, 7)}
    previous = sums(stream)

    set_again(stream)
    stream.hour(7, n=200)
    stream.hour(8, n=200)
    Runner(stream.config).run(once=True)
    assert added_up(stream)[START + 7 * HOUR] == 1
    assert added_up(stream)[START + 8 * HOUR] == 2
    assert sums(stream)[: len(previous)] == previous  # against the old reference

    stream.hour(3, n=20)  # late: this window is measured against the new one now
    Runner(stream.config).run(once=True)
    assert [added_up(stream)[START + n * HOUR] for n in (4, 5, 6, 7, 8)] == [1, 5, 6, 2, 3]

    backfill(stream.config, stream.name, START, START + 8 * HOUR)
    assert added_up(stream) == {START + n * HOUR: n for n in range(1, 9)}
