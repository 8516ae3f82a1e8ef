from typing import Any

import pytest

from driftline.config import Config
from driftline.errors import ConfigError
from driftline.streaming.flink.check import check_model


def config(**parts: Any) -> Config:
    section: dict[str, Any] = {
        "input": {
            "topic": "t",
            "event_id": "id",
            "event_time": "at",
            "fields": {"amount": "float", "country": "string"},
        },
        "registry": {"name": "m"},
    }
    return Config.model_validate({"models": {"fraud": section | parts}})


def sql(query: str, **columns: str) -> dict[str, Any]:
    return {"sql": {"query": query, "columns": columns}}


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"segments": ["country"]},
        {"features": sql("SELECT *, amount > 5 AS large FROM events", large="bool"),
         "segments": ["large"]},
        {"features": {"transform": "tests.unit.streaming.transforms:doubled"}},
    ],
)  # fmt: skip
def test_models_that_could_run(parts: dict[str, Any]) -> None:
    check_model(config(**parts), "fraud")


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        (
            {"segments": ["age"]},
            "model 'fraud': segment 'age' is not a feature: use amount, country",
        ),
        (
            {"features": sql("SELECT *, amount AS x FROM events WHERE amount > 5", x="float")},
            "model 'fraud': the feature query has WHERE: ",
        ),
        (
            {"features": {"transform": "tests.unit.streaming.transforms:none"}},
            "model 'fraud': can't load the transform 'tests.unit.streaming.transforms:none': ",
        ),
        (
            {"features": {"transform": "tests.unit.streaming.transforms:doubled"},
             "segments": ["country"]},
            "model 'fraud': segment 'country' is not a feature: use twice",
        ),
    ],
)  # fmt: skip
def test_models_that_could_not(parts: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_model(config(**parts), "fraud")
    assert str(error.value).startswith(problem)


def test_an_unknown_model() -> None:
    with pytest.raises(ConfigError) as error:
        check_model(config(), "spam")
    assert str(error.value) == "no model 'spam' in the config (models: fraud)"
