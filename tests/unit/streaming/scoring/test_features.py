from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from driftline.config import Model
from driftline.errors import ConfigError
from driftline.streaming.scoring.features import FeatureDefinition
from driftline.streaming.scoring.isolate import SYSTEMATIC_FAILURE_ROWS
from driftline.streaming.scoring.rejects import Rejects

FIELDS = {"amount": "float", "items": "int", "country": "string", "new": "bool"}


def model(transform: str | None = None, sql: dict[str, str] | None = None, **inputs: Any) -> Model:
    section: dict[str, Any] = {
        "input": {"topic": "t", "event_id": "id", "event_time": "at", "fields": FIELDS, **inputs},
        "registry": {"name": "m"},
        "features": {},
    }
    if transform is not None:
        section["features"]["transform"] = f"tests.unit.streaming.transforms:{transform}"
    if sql is not None:
        section["features"]["sql"] = {"query": "SELECT * FROM events", "columns": sql}
    return Model.model_validate(section)


def run(
    definition: FeatureDefinition, rows: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[int], list[int], list[tuple[int, str, str]]]:
    """Features, their rows, the filtered rows and the rejects; row n is message 10 * n."""
    events = pa.RecordBatch.from_pylist(rows, schema=definition.events)
    rejects = Rejects([b"payload"] * (10 * len(rows)))
    featured = definition(events, rejects, np.arange(len(rows), dtype=np.int32) * 10)
    assert featured.features.schema == definition.schema
    assert featured.rows.dtype == featured.filtered.dtype == np.int32
    rejected = [(r["message"], r["reason"], r["detail"]) for r in rejects.batch().to_pylist()]
    return (
        featured.features.to_pylist(),
        featured.rows.tolist(),
        featured.filtered.tolist(),
        rejected,
    )


def test_by_default_every_field_is_a_feature() -> None:
    definition = FeatureDefinition(model())
    assert definition.schema.names == ["amount", "items", "country", "new"]
    row = {"amount": 1.5, "items": 2, "country": "de", "new": None}
    assert run(definition, [row | {"event_id": "a"}]) == ([row], [0], [], [])
    assert run(definition, []) == ([], [], [], [])


def test_columns_of_the_query_are_features_too() -> None:
    definition = FeatureDefinition(model(sql={"last_hour": "int", "mean": "float"}))
    assert definition.added.names == ["last_hour", "mean"]
    assert definition.schema.names == [*FIELDS, "last_hour", "mean"]
    features, *_ = run(definition, [{"last_hour": 3, "mean": 0.5}])
    assert features[0]["last_hour"] == 3


def test_a_query_may_leave_events_out() -> None:
    definition = FeatureDefinition(model(sql={"keep": "bool"}))
    assert definition.schema.names == list(FIELDS)
    rows = [{"amount": 1.0, "keep": keep} for keep in (True, False, None)]
    features, rows_kept, filtered, rejects = run(definition, rows)
    assert [row["amount"] for row in features] == [1.0]
    assert (rows_kept, filtered, rejects) == ([0], [1, 2], [])


def test_transform() -> None:
    definition = FeatureDefinition(model("doubled"))
    assert definition.schema == pa.schema([("twice", pa.float64())])
    rows: list[dict[str, Any]] = [{"amount": 1.5}, {"amount": None}]
    assert run(definition, rows) == ([{"twice": 3.0}, {"twice": None}], [0, 1], [], [])


def test_transform_that_leaves_events_out() -> None:
    definition = FeatureDefinition(model("large"))
    rows = [{"amount": amount} for amount in (5.0, 15.0, None, 20.0)]
    assert run(definition, rows) == ([{"amount": 15.0}, {"amount": 20.0}], [1, 3], [0, 2], [])
    assert run(definition, rows[:1]) == ([], [], [0], [])


def test_failing_rows_are_rejected_the_rest_go_on() -> None:
    definition = FeatureDefinition(model("picky"))
    rows = [{"amount": amount} for amount in (13.0, 1.0, 2.0, 13.0, 3.0)]
    features, rows_kept, filtered, rejects = run(definition, rows)
    assert [row["twice"] for row in features] == [2.0, 4.0, 6.0]
    assert (rows_kept, filtered) == ([1, 2, 4], [])
    detail = "ValueError: 13 is unlucky"
    assert rejects == [(0, "transform_failed", detail), (30, "transform_failed", detail)]


def test_a_failing_row_alone_is_rejected() -> None:
    """A quiet topic gives batches of one: a bad event must not stop the job."""
    rejects = run(FeatureDefinition(model("picky")), [{"amount": 13.0}])
    assert rejects == ([], [], [], [(0, "transform_failed", "ValueError: 13 is unlucky")])


def test_rows_fail_and_are_left_out_in_one_batch() -> None:
    rows = [{"amount": amount} for amount in (1.0, 13.0, 20.0)]
    features, rows_kept, filtered, rejects = run(FeatureDefinition(model("picky_large")), rows)
    assert (features, rows_kept, filtered) == ([{"amount": 20.0}], [2], [0])
    assert rejects == [(10, "transform_failed", "ValueError: 13 is unlucky")]


def test_a_transform_that_fails_on_all_of_a_large_batch_is_at_fault() -> None:
    with pytest.raises(ValueError, match="13 is unlucky"):
        run(FeatureDefinition(model("picky")), [{"amount": 13.0}] * SYSTEMATIC_FAILURE_ROWS)


def test_wrong_row_count() -> None:
    """What a transform that merges rows gives for one row is still right."""
    definition = FeatureDefinition(model("one_row"))
    rows = [{"amount": 1.0}, {"amount": 2.0}]
    assert run(definition, rows) == ([{"twice": 2.0}, {"twice": 4.0}], [0, 1], [], [])
    with pytest.raises(
        ConfigError, match="the transform returned 2 rows for 0 events: return exactly one row"
    ):
        FeatureDefinition(model("two_rows"))


def test_types_that_depend_on_the_data_are_made_one() -> None:
    definition = FeatureDefinition(model("untyped"))
    features, rows_kept, *_ = run(definition, [{"items": 1}, {"items": None}])
    assert (features, rows_kept) == ([{"items": 1}, {"items": None}], [0, 1])


def test_values_that_do_not_fit_the_type_are_rejected() -> None:
    features, rows_kept, _, rejects = run(
        FeatureDefinition(model("halves")), [{"items": 4}, {"items": 3}]
    )
    assert (features, rows_kept) == ([{"items": 2}], [0])
    [(message, reason, detail)] = rejects
    assert (message, reason) == (10, "transform_failed")
    assert detail == "ArrowInvalid: Float value 1.5 was truncated converting to int64"


def test_other_columns_than_promised() -> None:
    _, _, _, rejects = run(FeatureDefinition(model("other_columns")), [{"amount": 1.0}])
    detail = (
        "the transform returned the columns ['many'], but for an empty batch ['none']: "
        "always return the same columns"
    )
    assert rejects == [(0, "transform_failed", detail)]


def test_made_texts_that_cannot_be_stored() -> None:
    rows: list[dict[str, Any]] = [{"country": "de"}, {"country": "\\N"}, {"country": None}]
    features, rows_kept, _, rejects = run(FeatureDefinition(model("with_nul")), rows)
    assert (features, rows_kept) == ([{"text": "de"}, {"text": None}], [0, 2])
    detail = r"feature 'text' is '\x00': it contains a NUL character"
    assert rejects == [(10, "nul_character", detail)]


@pytest.mark.parametrize(
    ("transform", "problem"),
    [
        ("missing", "can't load the transform 'tests.unit.streaming.transforms:missing': Attri"),
        ("without_events", "the transform fails on an empty batch: RuntimeError: no luck"),
        ("a_table", "the transform returned Table, not a RecordBatch"),
        ("nothing", "the transform returns no features: return at least one column"),
        ("only_keep", "the transform returns no features: return at least one column"),
        ("number_to_keep", "the transform's column 'keep' must be of type bool"),
        ("reserved", "the transform's column 'score' is reserved: rename it"),
        ("repeated", "the transform returns column 'x' twice: rename one"),
        (
            "narrow",
            "the transform's column 'x' has type float: cast it to one of bool, double, int64, str",
        ),
        ("NOT_CALLABLE", "the transform fails on an empty batch: TypeError: 'int' object is not"),
    ],
)
def test_refused_transforms(transform: str, problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        FeatureDefinition(model(transform))
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("no.such.module:f", "ModuleNotFoundError: No module named 'no'"),
        ("math:sqrt", "OSError: source code not available"),  # no source to hash
    ],
)
def test_modules_that_cannot_be_loaded(name: str, problem: str) -> None:
    section = model().model_copy(
        update={"features": model("doubled").features.model_copy(update={"transform": name})}
    )
    with pytest.raises(ConfigError) as error:
        FeatureDefinition(section)
    assert str(error.value).startswith(f"can't load the transform {name!r}: {problem}")


def test_a_module_that_fails_to_load(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_transform.py").write_text("def transform(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    features = model("doubled").features.model_copy(
        update={"transform": "broken_transform:transform"}
    )
    with pytest.raises(ConfigError, match="'broken_transform:transform': SyntaxError: "):
        FeatureDefinition(model().model_copy(update={"features": features}))


def digest(section: Model) -> str:
    return FeatureDefinition(section).digest


def test_the_digest_stays_when_features_stay() -> None:
    assert digest(model("doubled")) == digest(model("doubled", topic="other"))
    assert digest(model()) == digest(model(accept={"past": "1 d"}))
    assert len(digest(model())) == 64


def test_the_digest_changes_with_the_definition() -> None:
    sections = [
        model(),
        model("doubled"),
        model("large"),
        model(sql={"x": "int"}),
        model(sql={"x": "float"}),
        model(fields={"amount": "float"}),
        model(fields=FIELDS | {"amount": {"type": "float", "key": "Amount"}}),
        model(required=["amount"]),
        model(time_format="epoch_s"),
        model(event_id="other"),
        model(event_time="other"),
    ]
    assert len({digest(section) for section in sections}) == len(sections)


def test_the_digest_changes_with_the_code(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "def transform(events):\n    return events.select(['amount'])\n"
    monkeypatch.syspath_prepend(tmp_path)
    digests = set()
    for number in (1, 2):
        (tmp_path / f"version_{number}.py").write_text(code + f"# {number}\n")
        features = model("doubled").features.model_copy(
            update={"transform": f"version_{number}:transform"}
        )
        definition = FeatureDefinition(model().model_copy(update={"features": features}))
        digests.add(definition.digest)
    assert len(digests) == 2
