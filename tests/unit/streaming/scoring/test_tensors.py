"""Tensors in events: decoded in their shape, or rejected with the reason."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from driftline.config import EventField
from driftline.errors import ConfigError
from driftline.streaming.queries.query import mentioned_fields
from driftline.streaming.scoring.decode import JsonDecoder
from driftline.streaming.scoring.features import FeatureDefinition
from driftline.streaming.scoring.rejects import Rejects
from tests.unit.streaming.decoding import NOW, decode, event, settings
from tests.unit.streaming.scoring.test_features import model

IMAGE: dict[str, Any] = {"image": {"type": "tensor", "shape": [2, 3]}, "n": "int"}
TYPE = pa.list_(pa.float32(), 6)


def test_nested_lists_become_one_row_of_numbers() -> None:
    outcome = decode([event(image="[[1, 2.5, 3], [4, 5, -6]]")], fields=IMAGE)
    assert outcome.events[0]["image"] == [1.0, 2.5, 3.0, 4.0, 5.0, -6.0]
    assert outcome.rejects == []


def test_a_missing_tensor_is_null_beside_others() -> None:
    payloads = [event(), event(image="[[1,2,3],[4,5,6]]"), event(image="null")]
    rejects = Rejects(payloads)
    times = np.full(3, np.datetime64(NOW, "us"))
    events = JsonDecoder(settings(fields=IMAGE))(payloads, times, rejects).events
    assert events.schema.field("image").type == TYPE
    assert events.column("image").to_pylist() == [None, [1, 2, 3, 4, 5, 6], None]
    outcome = decode(payloads, fields=IMAGE, required=["image"])
    assert [(r.message, r.reason) for r in outcome.rejects] == [
        (0, "missing_field"),
        (2, "missing_field"),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[1, 2, 3]]", "wrong_shape"),
        ("[[1, 2, 3], [4, 5]]", "wrong_shape"),
        ("[[1, 2, 3], [4, 5, 6, 7]]", "wrong_shape"),
        ("[[1, 2, 3], [4, 5, 6], [7, 8, 9]]", "wrong_shape"),
        ("[]", "wrong_shape"),
        ("[1, 2, 3, 4, 5, 6]", "wrong_type"),
        ('[[1, 2, "3"], [4, 5, 6]]', "wrong_type"),
        ("[[1, 2, null], [4, 5, 6]]", "wrong_type"),
        ("7", "wrong_type"),
    ],
)
def test_another_shape_is_rejected_alone(text: str, reason: str) -> None:
    good = event(image="[[1,2,3],[4,5,6]]")
    outcome = decode([good, event(image=text), good], fields=IMAGE)
    assert sorted(outcome.events) == [0, 2]
    assert [(r.message, r.reason) for r in outcome.rejects] == [(1, reason)]
    assert outcome.rejects[0].detail.startswith(f"field 'image' is {text[:20]}")


@given(
    st.lists(
        st.none()
        | st.lists(
            st.lists(
                st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3
            ),
            min_size=2,
            max_size=2,
        ),
        max_size=5,
    )
)
def test_every_tensor_of_the_shape_comes_through(images: list[Any]) -> None:
    outcome = decode([event(image=json.dumps(image)) for image in images], fields=IMAGE)
    images_decoded = [outcome.events[message]["image"] for message in range(len(images))]
    assert images_decoded == [None if image is None else [*image[0], *image[1]] for image in images]


@pytest.mark.parametrize(
    "section",
    [
        {"type": "tensor"},
        {"type": "float", "shape": [2]},
        {"type": "tensor", "shape": [0]},
        {"type": "tensor", "shape": []},
        {"type": "tensor", "shape": [10_000, 10_000]},
    ],
)
def test_shapes_that_are_none(section: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EventField.model_validate(section)


def test_a_tensor_is_a_feature() -> None:
    definition = FeatureDefinition(model(fields=IMAGE))
    assert definition.schema.field("image").type == TYPE
    rows = pa.RecordBatch.from_pylist([{"image": [1.0] * 6}], schema=definition.events)
    featured = definition(rows, Rejects([b"x"]), np.zeros(1, np.int32))
    assert featured.features.column("image").to_pylist() == [[1.0] * 6]


def test_a_query_cannot_use_it() -> None:
    section = model(sql={"a": "int"}, fields=IMAGE)
    query = section.features.sql
    assert query is not None
    text = "SELECT *, CARDINALITY(image) AS a FROM events"
    with_image = section.model_copy(
        update={
            "features": section.features.model_copy(
                update={"sql": query.model_copy(update={"query": text})}
            )
        }
    )
    assert mentioned_fields(section) == {}
    with pytest.raises(ConfigError, match="reads 'image', a tensor: use it in the transform"):
        mentioned_fields(with_image)
