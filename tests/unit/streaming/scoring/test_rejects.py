import numpy as np
import pyarrow as pa
import pytest

from driftline.records import REJECT
from driftline.streaming.scoring.rejects import DETAIL_LIMIT, Rejects


def test_rejects_stand_in_the_order_of_their_messages() -> None:
    rejects = Rejects([b"a", None, b"\xff"])
    rejects.add(2, "bad", "third")
    rejects.add(1, "empty", "second")
    assert len(rejects) == 2
    assert rejects.batch() == pa.RecordBatch.from_pylist(
        [
            {"message": 1, "reason": "empty", "detail": "second", "payload": None},
            {"message": 2, "reason": "bad", "detail": "third", "payload": b"\xff"},
        ],
        schema=REJECT,
    )


def test_no_rejects() -> None:
    rejects = Rejects([b"a"])
    assert rejects.batch() == pa.RecordBatch.from_pylist([], schema=REJECT)
    assert rejects.accepted(np.array([0], np.int32)).tolist() == [True]
    assert rejects.accepted(np.empty(0, np.int32)).tolist() == []


def test_the_first_reason_stays() -> None:
    rejects = Rejects([b"a"])
    rejects.add(0, "first", "one")
    rejects.add(0, "second", "two")
    rejects.add_where(np.array([True]), np.array([0]), "third", lambda _: "three")
    assert rejects.batch().column("reason").to_pylist() == ["first"]


def test_rows_are_not_messages() -> None:
    rejects = Rejects([b"a", b"b", b"c", b"d"])
    messages = np.array([1, 3], np.int32)
    rejects.add_where(np.array([False, True]), messages, "odd", lambda row: f"row {row}")
    assert rejects.batch().to_pylist() == [
        {"message": 3, "reason": "odd", "detail": "row 1", "payload": b"d"}
    ]
    assert rejects.accepted(messages).tolist() == [True, False]
    assert rejects.accepted(np.arange(4, dtype=np.int32)).tolist() == [True, True, True, False]


@pytest.mark.parametrize(
    ("detail", "stored"),
    [
        ("a\0b", r"a\0b"),
        ("lone \ud800 surrogate", "lone ? surrogate"),
        ("x" * 10_000, "x" * DETAIL_LIMIT),
    ],
)
def test_details_can_be_stored_as_text(detail: str, stored: str) -> None:
    rejects = Rejects([b""])
    rejects.add(0, "bad", detail)
    assert rejects.batch().column("detail").to_pylist() == [stored]
