"""Transforms for the tests; a config names them as `tests.unit.streaming.transforms:NAME`."""

import pyarrow as pa
import pyarrow.compute as pc


def doubled(events: pa.RecordBatch) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"twice": pc.multiply(events.column("amount"), 2.0)})


def large(events: pa.RecordBatch) -> pa.RecordBatch:
    """Leaves small and unknown amounts out."""
    amount = events.column("amount")
    return pa.RecordBatch.from_pydict({"amount": amount, "keep": pc.greater(amount, 10.0)})


def picky(events: pa.RecordBatch) -> pa.RecordBatch:
    """Fails on 13, and on nothing else."""
    if 13.0 in events.column("amount").to_pylist():
        raise ValueError("13 is unlucky")
    return doubled(events)


def picky_large(events: pa.RecordBatch) -> pa.RecordBatch:
    picky(events)
    return large(events)


def without_events(events: pa.RecordBatch) -> pa.RecordBatch:
    raise RuntimeError("no luck")


def a_table(events: pa.RecordBatch) -> pa.Table:
    return pa.Table.from_batches([events])


def one_row(events: pa.RecordBatch) -> pa.RecordBatch:
    """Forgets all rows but the first."""
    return doubled(events.slice(0, 1))


def two_rows(events: pa.RecordBatch) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"x": [1.0, 2.0]})


def nothing(events: pa.RecordBatch) -> pa.RecordBatch:
    return events.select([])


def only_keep(events: pa.RecordBatch) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"keep": events.column("new")})


def number_to_keep(events: pa.RecordBatch) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {"x": events.column("amount"), "keep": events.column("items")}
    )


def reserved(events: pa.RecordBatch) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"score": events.column("amount")})


def repeated(events: pa.RecordBatch) -> pa.RecordBatch:
    amount = events.column("amount")
    return pa.RecordBatch.from_arrays([amount, amount], names=["x", "x"])


def narrow(events: pa.RecordBatch) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"x": events.column("amount").cast(pa.float32())})


def untyped(events: pa.RecordBatch) -> pa.RecordBatch:
    """As pandas does it: whole numbers become floats where one is missing."""
    items = events.column("items")
    return pa.RecordBatch.from_pydict(
        {"items": items.cast(pa.float64()) if items.null_count else items}
    )


def halves(events: pa.RecordBatch) -> pa.RecordBatch:
    """Says that it gives whole numbers, and gives others."""
    items = events.column("items")
    return pa.RecordBatch.from_pydict({"items": items if not len(events) else pc.divide(
        items.cast(pa.float64()), 2.0)})  # fmt: skip


def other_columns(events: pa.RecordBatch) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"many" if len(events) else "none": events.column("amount")})


def with_nul(events: pa.RecordBatch) -> pa.RecordBatch:
    """Makes a text that cannot be stored where the country is `\\N`."""
    text = pc.replace_substring(events.column("country"), "\\N", "\0")
    return pa.RecordBatch.from_pydict({"text": text})


NOT_CALLABLE = 5
