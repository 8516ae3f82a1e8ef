"""TensorFlow Serving's protocol with faults between the client and a real model server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from driftline.config import Registry, TensorFlowServing
from driftline.errors import RegistryError, ServiceError
from driftline.registry import manifest
from driftline.registry.files import layout
from driftline.registry.loaders import keras as keras_loader
from driftline.registry.loaders.tf_serving import TFServing, load
from driftline.registry.runtime import Tensor, score
from driftline.streaming.scoring.isolate import run_isolated
from tests import http_faults
from tests.contracts.test_runtimes import batch, expected
from tests.http_faults import FaultyServer
from tests.unit.registry import keras_models

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a registered version, with its signature."""
    folder = tmp_path_factory.mktemp("version")
    layout.copy_model(keras_models.save(folder / "m.keras"), folder / "v")
    runtime = keras_loader.load(folder / "v")
    manifest.write(folder / "v", runtime, pa.Table.from_batches([batch(3)]))
    return folder / "v"


@pytest.fixture
def faulty(model_server: str) -> Iterator[FaultyServer]:
    with http_faults.between(model_server) as server:
        yield server


def connect(faulty: FaultyServer, folder: Path, **more: Any) -> TFServing:
    settings = {"url": faulty.url, "missing": "null", "timeout": "2 s", "retry_for": "20 s"}
    section = TensorFlowServing.model_validate(settings | more)
    return load(folder, Registry(name="conformance", serving=section), 3)


PASSING = {
    "429": http_faults.status(429, Retry_After="0.2"),
    "503": http_faults.status(503),
    "404": http_faults.status(404, "Servable not found"),
    "one 500": http_faults.status(500),
    "reset": http_faults.reset,
    "too slow": http_faults.slow(2.5),
    "truncated response": http_faults.half,
    "half of the JSON": http_faults.half_whole,
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
@pytest.mark.parametrize("form", ["row", "columns"])
def test_what_passes_is_waited_for(
    faulty: FaultyServer, version: Path, fault: http_faults.Fault, form: str
) -> None:
    runtime = connect(faulty, version, format=form)
    faulty.faults = [fault, fault]
    rows = batch(30)
    assert score(runtime.predict(rows)) == pytest.approx(expected(rows), rel=1e-5)
    assert faulty.faults == []
    runtime.close()


def test_an_outage_longer_than_the_breaker_waits_for_loses_nothing(
    faulty: FaultyServer, version: Path
) -> None:
    runtime = connect(faulty, version, batch_rows=10)
    faulty.faults = [http_faults.status(503)] * 12
    rows = batch(80)
    assert score(runtime.predict(rows)) == pytest.approx(expected(rows), rel=1e-5)
    assert len(faulty.predictions()) == 1 + 12 + 8
    runtime.close()


def test_a_server_that_stays_away_is_no_rows_fault(faulty: FaultyServer, version: Path) -> None:
    runtime = connect(faulty, version, retry_for="1 s")
    faulty.always = http_faults.status(503)
    failed: list[int] = []
    with pytest.raises(ServiceError, match=r"no valid response within 1 s: 503 .* \(check that"):
        run_isolated(runtime.predict, batch(4), lambda row, _: failed.append(row))
    assert failed == []
    runtime.close()


def test_who_can_do_without_soon_hears_that_it_is_away(faulty: FaultyServer, version: Path) -> None:
    runtime = connect(faulty, version, retry_for="10 h")
    fail_fast = runtime.fail_fast()
    faulty.faults = [http_faults.reset]
    rows = batch(3)
    assert score(fail_fast.predict(rows)) == pytest.approx(expected(rows), rel=1e-5)
    faulty.always = http_faults.status(404, "Servable not found")
    with pytest.raises(ServiceError, match="gave no valid response within 2 s: 404"):
        fail_fast.predict(rows)
    runtime.close()


@pytest.mark.parametrize("code", [401, 403])
def test_a_refused_login_is_no_rows_fault(faulty: FaultyServer, version: Path, code: int) -> None:
    runtime = connect(faulty, version)
    faulty.always = http_faults.status(code, "who are you")
    with pytest.raises(ServiceError, match=f"not accept requests: {code} who are you .*headers"):
        runtime.predict(batch(4))
    runtime.close()


def without(name: str) -> http_faults.Fault:
    def drop(answer: dict[str, Any]) -> dict[str, Any]:
        return {"outputs": {k: v for k, v in answer["outputs"].items() if k != name}}

    return http_faults.body(drop)


def changed(name: str, value: Any) -> http_faults.Fault:
    return http_faults.body(lambda answer: {"outputs": {**answer["outputs"], name: value}})


WRONG = {
    "rows": (changed("score", [[1.0]]), r"'score' of .* has shape \(1, 1\) for 2 rows"),
    "shape": (changed("classes", [[1.0], [2.0]]), r"rows of shape \(1,\), not \(3,\)"),
    "ragged": (changed("classes", [[1.0, 2.0], [1.0]]), r"'classes' of .* is not float32"),
    "text": (changed("score", [["a"], ["b"]]), r"'score' of .* is not float32: .*'a'"),
    "output": (without("classes"), r"returned the outputs \['name', 'score'\], without 'classes'"),
    "key": (http_faults.body(lambda _: {"error": "?"}), r"returned no 'outputs': .*error"),
    "unnamed": (http_faults.body(lambda _: {"outputs": [1.0, 2.0]}), "one output without a name"),
    "list": (http_faults.body(lambda _: [1.0]), "returned no 'outputs'"),
}


@pytest.mark.parametrize(("fault", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_answer_is_named(
    faulty: FaultyServer, version: Path, fault: http_faults.Fault, message: str
) -> None:
    runtime = connect(faulty, version)
    faulty.always = fault
    with pytest.raises(RegistryError, match=message):
        runtime.predict(batch(2))
    runtime.close()


def test_a_request_has_at_most_batch_rows_and_their_order_stays(
    faulty: FaultyServer, version: Path
) -> None:
    runtime = connect(faulty, version, batch_rows=7, format="row")
    faulty.faults = [http_faults.slow(0.3)]
    faulty.requests.clear()
    rows = batch(50)
    assert score(runtime.predict(rows)) == pytest.approx(expected(rows), rel=1e-5)
    sizes = [len(json.loads(body)["instances"]) for _, _, _, body in faulty.requests]
    assert sorted(sizes) == [1, 7, 7, 7, 7, 7, 7, 7]
    runtime.close()


@pytest.mark.parametrize(
    ("stated", "path"),
    [
        ("registry", "/v1/models/conformance/versions/3:predict"),
        ("latest", "/v1/models/conformance:predict"),
        ("12", "/v1/models/conformance/versions/12:predict"),
        ("label:stable", "/v1/models/conformance/labels/stable:predict"),
    ],
)
def test_the_version_that_is_asked(
    faulty: FaultyServer, version: Path, stated: str, path: str
) -> None:
    runtime = connect(faulty, version, version=stated)
    assert faulty.predictions() == [path]
    runtime.close()


def test_headers_come_from_files_and_stay_out_of_errors(
    faulty: FaultyServer, version: Path, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("Bearer hunter2\n")
    headers = {"Authorization": {"file": str(tmp_path / "token")}, "X-Team": "fraud"}
    runtime = connect(faulty, version, headers=headers, retry_for="1 s")
    _, _, sent, _ = faulty.requests[-1]
    assert (sent["Authorization"], sent["X-Team"]) == ("Bearer hunter2", "fraud")
    faulty.always = http_faults.status(503)
    with pytest.raises(ServiceError) as failed:
        runtime.predict(batch(1))
    assert "hunter2" not in str(failed.value)
    runtime.close()


def test_missing_numbers_are_nan_to_tensorflow_serving(faulty: FaultyServer, version: Path) -> None:
    runtime = connect(faulty, version, missing="nan")
    answer = {"outputs": {"score": [[1.0]], "classes": [[1.0, 0.0, 0.0]], "name": ["low"]}}
    faulty.always = lambda handler, *_: handler.answer(200, json.dumps(answer).encode())
    row = batch(1).to_pylist()[0] | {"x": None}
    runtime.predict(pa.RecordBatch.from_pylist([row], schema=batch(1).schema))
    assert b'"x": [[NaN]]' in faulty.requests[-1][3]
    runtime.close()


def test_tokens_of_no_number_are_read(faulty: FaultyServer, version: Path) -> None:
    runtime = connect(faulty, version)
    text = b'{"outputs": {"score": [[NaN], [Infinity]], "classes": [[1,0,0],[1,0,0]], "name": ['
    text += b'{"b64": "bG93"}, "high"]}}'
    faulty.always = lambda handler, *_: handler.answer(200, text)
    outputs = runtime.predict(batch(2))
    assert score(outputs) == pytest.approx([np.nan, np.inf], nan_ok=True)
    assert outputs["name"].ravel().tolist() == ["low", "high"]
    runtime.close()


def spec(dtype: str, *shape: int) -> dict[str, Any]:
    return {"dtype": dtype, "tensor_shape": {"dim": [{"size": str(size)} for size in shape]}}


def test_the_servers_own_metadata_come_first(faulty: FaultyServer, version: Path) -> None:
    signature = {
        "inputs": {
            "x": spec("DT_DOUBLE", -1),
            "k": spec("DT_INT64", -1),
            "c": spec("DT_STRING", -1, 1),
            "image": spec("DT_FLOAT", -1, 4, 4),
        },
        "outputs": {"score": spec("DT_FLOAT", -1, 1)},
    }
    faulty.metadata = {
        "metadata": {"signature_def": {"signature_def": {"serving_default": signature}}}
    }
    runtime = connect(faulty, version)
    assert runtime.inputs["x"] == Tensor(np.dtype(np.float64), ())
    assert list(runtime.outputs) == ["score"]
    rows = batch(5)
    # a model's only output comes without its name
    faulty.always = http_faults.body(lambda answer: {"outputs": answer["outputs"]["score"]})
    assert score(runtime.predict(rows)) == pytest.approx(expected(rows), rel=1e-5)
    runtime.close()


def test_a_permanent_failure_is_raised_after_three_attempts(
    faulty: FaultyServer, version: Path
) -> None:
    runtime = connect(faulty, version)
    faulty.always = http_faults.status(500, "the model raised")
    with pytest.raises(RegistryError, match="fails: 500 the model raised"):
        runtime.predict(batch(1))
    assert len(faulty.predictions()) == 1 + 3
    runtime.close()
