"""Generated events are accepted by the decoder, evenly spread, and drift as asked."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.config import Input
from driftline.errors import DriftlineError
from driftline.sending.generate import CHUNK, Drift, generate, parse_drift
from driftline.sending.messages import require_valid

END = datetime.now(UTC)
START = END - timedelta(hours=1)
FIELDS = {
    "amount": "float",
    "items": {"type": "int", "key": "nItems"},
    "country": "string",
    "is_new": "bool",
    "image": {"type": "tensor", "shape": [2, 3]},
}


def section(time_format: str = "iso8601", **more: Any) -> Input:
    content = {"topic": "t", "event_id": "id", "event_time": "at", "fields": FIELDS}
    return Input.model_validate({**content, "time_format": time_format, **more})


def events(settings: Input, n: int, **options: Any) -> list[dict[str, Any]]:
    chunks = generate(settings, n, START, END, **{"seed": 1, **options})
    return [json.loads(message) for chunk in chunks for message in chunk]


@pytest.mark.parametrize("time_format", ["iso8601", "epoch_s", "epoch_ms", "epoch_us"])
@pytest.mark.parametrize("n", [1, CHUNK + 1])
def test_the_job_would_accept_all_of_them(time_format: str, n: int) -> None:
    settings = section(time_format, required=list(FIELDS))
    assert require_valid(settings, generate(settings, n, START, END), "generated") == n


def test_ids_are_unique_and_times_are_even() -> None:
    made = events(section("epoch_us"), 3_600)
    assert len({one["id"] for one in made}) == 3_600
    assert set(np.diff([one["at"] for one in made])) == {1_000_000}
    assert made[0]["at"] == round(START.timestamp() * 1e6)


def test_drift_changes_its_field_and_no_other() -> None:
    drifts = [Drift("amount", "*10"), Drift("items", "+100"), Drift("country", "FR", 0.25)]
    before, after = events(section(), 4_000), events(section(), 4_000, drifts=drifts)
    for old, new in zip(before, after, strict=True):
        assert new["amount"] == pytest.approx(old["amount"] * 10)
        assert new["nItems"] == old["nItems"] + 100
        assert (new["is_new"], new["image"]) == (old["is_new"], old["image"])
    share = np.mean([one["country"] == "FR" for one in after])
    assert share == pytest.approx(0.25, abs=0.03)  # four standard errors


def test_values_of_a_sample_stay_together() -> None:
    sample = pa.table({"amount": [1.5, 2.5], "country": ["DE", None], "other": [1, 2]})
    pairs = {(one["amount"], one["country"]) for one in events(section(), 200, sample=sample)}
    assert pairs == {(1.5, "DE"), (2.5, None)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("amount", "use FIELD="),
        ("amount=", "use FIELD="),
        ("price=1", "fields of the model are amount, items"),
        ("amount=many", "'many' is not a number"),
        ("items=*x", "'x' is not a number"),
        ("is_new=3", "'is_new' is of type bool"),
        ("image=1", "'image' is of type tensor"),
        ("amount=+1@0%", "the share must be above 0"),
        ("amount=+1@101%", "at most 100%"),
    ],
)
def test_a_drift_that_cannot_be(text: str, message: str) -> None:
    with pytest.raises(DriftlineError, match=message.replace("+", r"\+")):
        parse_drift(text, section())


@given(
    st.sampled_from(["amount=*2", "amount=-3.5@7.5%", "items=+1", "country=a=b@c", "is_new=true"]),
    st.integers(1, 50),
)
def test_what_parses_also_generates(text: str, n: int) -> None:
    settings = section()
    drifted = generate(settings, n, START, END, drifts=[parse_drift(text, settings)])
    assert require_valid(settings, drifted, "generated") == n


def test_null_is_a_missing_value() -> None:
    drift = parse_drift("country=null", section())
    assert {one["country"] for one in events(section(), 50, drifts=[drift])} == {None}
