"""A SavedModel's way through a real MLflow server."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from driftline import names
from driftline.cli.models import models
from driftline.config import Config, Mlflow, Registry, Score
from driftline.config.types import Secret
from driftline.errors import RegistryError
from driftline.profile import blocks, sample
from driftline.profile.binning import Binning
from driftline.profile.profile import Profile
from driftline.registry import aliases, manifest
from driftline.registry.client import connect
from driftline.registry.files import layout
from driftline.registry.files.cache import fetch, resolve
from driftline.registry.loaders import load
from driftline.registry.register import Training, register
from driftline.registry.runtime import score
from driftline.registry.versions import versions
from driftline.services.stack import Stack
from tests.unit.registry import keras_models, saved_models


@pytest.fixture(scope="module")
def settings(stack: Stack) -> Mlflow:
    return Config(state=stack.folder).local_mlflow()


@pytest.fixture
def name() -> str:
    return f"test-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_models.save(tmp_path_factory.mktemp("saved") / "model")


def features(n: int = 1_000, seed: int = 0) -> pa.Table:
    random = np.random.default_rng(seed)
    return pa.table(
        {
            "x": random.normal(size=n),
            "k": random.integers(0, 9, n),
            "c": random.choice(["a", "b"], n),
            "b": random.random(n) < 0.5,
            "monitored": random.normal(size=n),
        }
    )


def test_from_a_saved_model_to_a_served_one(
    settings: Mlflow, name: str, saved: Path, tmp_path: Path
) -> None:
    training = Training("0123abcd", {"seed": "7"}, {"auc": 0.9})
    version = register(settings, name, saved, features(), alias="champion", training=training)
    assert (version.version, version.definition, version.aliases) == (1, "0123abcd", ("champion",))
    client = connect(settings)
    assert resolve(client, name, "champion") == 1
    folder = fetch(client, name, 1, tmp_path)
    assert fetch(client, name, 1, tmp_path) == folder
    runtime = load(folder)
    outputs = runtime.predict(features(3).to_batches()[0])
    assert len(outputs["score"]) == 3
    binning = Binning.from_json((folder / names.BINNING_ARTIFACT).read_text())
    assert binning.id == version.binning
    reference = Profile.of(binning, (folder / names.REFERENCE_ARTIFACT).read_bytes())
    assert reference.rows == 1_000
    assert reference.column("monitored").mean() == pytest.approx(
        np.mean(features()["monitored"].to_numpy()), abs=0.02
    )
    run = client.get_run(version.run_id)
    assert (run.data.params, run.data.metrics) == ({"seed": "7"}, {"auc": 0.9})
    assert run.info.status == "FINISHED"
    assert versions(client, name) == [version]


def test_event_times_of_the_reference_are_kept_as_blocks(
    settings: Mlflow, name: str, saved: Path, tmp_path: Path
) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    times = pa.array([start + timedelta(minutes=10 * i) for i in range(1_000)])
    register(settings, name, saved, features(), times=pa.chunked_array([times]))
    folder = fetch(connect(settings), name, 1, tmp_path)
    stored = blocks.from_bytes((folder / names.REFERENCE_BLOCKS_ARTIFACT).read_bytes())
    assert {block.seconds for block in stored} == {3_600}
    assert len(stored) == 167
    binning = Binning.from_json((folder / names.BINNING_ARTIFACT).read_text())
    whole = Profile.of(binning, (folder / names.REFERENCE_ARTIFACT).read_bytes())
    assert Profile.of(binning, *(block.cells for block in stored)) == whole
    (folder / names.REFERENCE_BLOCKS_ARTIFACT).write_bytes(b"other")
    fetch(connect(settings), name, 1, tmp_path)  # they are in the digest
    assert blocks.from_bytes((folder / names.REFERENCE_BLOCKS_ARTIFACT).read_bytes()) == stored


def test_of_several_numbers_a_row_the_config_chooses(
    settings: Mlflow, name: str, saved: Path, tmp_path: Path
) -> None:
    unsaid = Registry(name=name, score=Score(output="both"))
    message = r"fails the preflight check: .*'both' has 2 numbers per row: .*"
    with pytest.raises(RegistryError, match=message):
        register(settings, name, saved, features(), registered=unsaid)
    indexed = Registry(name=name, score=Score(output="both", index=1))
    register(settings, name, saved, features(), registered=indexed)
    folder = fetch(connect(settings), name, 1, tmp_path)
    (rows,) = features(5).to_batches()
    runtime = load(folder, indexed)
    other = load(folder)
    negative = score(runtime.predict(rows), runtime.score)
    assert negative.tolist() == (-score(other.predict(rows), other.score)).tolist()
    binning = Binning.from_json((folder / names.BINNING_ARTIFACT).read_text())
    profile = Profile.of(binning, (folder / names.REFERENCE_ARTIFACT).read_bytes())
    (everything,) = features().to_batches()
    expected = score(runtime.predict(everything), runtime.score).mean()
    assert profile.column("score").mean() == pytest.approx(expected, abs=0.02)


def test_mlflow_itself_understands_the_version(settings: Mlflow, name: str, saved: Path) -> None:
    import mlflow

    register(settings, name, saved, features())
    model = mlflow.pyfunc.load_model(f"models:/{name}/1")
    assert model.metadata.signature.inputs.input_names() == ["b", "c", "k", "x"]
    rows = features(4).to_pandas().astype({"k": "int32", "x": "float32"})
    outputs = model.predict(rows)
    assert outputs["score"] == pytest.approx(rows["x"] * 2 + rows["k"])


def keras_features(n: int = 200) -> pa.Table:
    random = np.random.default_rng(0)
    images = pa.array(random.random((n, 16)).tolist(), pa.list_(pa.float32(), 16))
    example = features(n).select(["x", "k", "c"])
    return example.append_column("image", images)


def test_a_keras_model_becomes_a_version(settings: Mlflow, name: str, tmp_path: Path) -> None:
    import mlflow

    path = keras_models.save(tmp_path / "m.keras")
    version = register(settings, name, path, keras_features(), alias="champion")
    folder = fetch(connect(settings), name, 1, tmp_path / "cache")
    outputs = load(folder).predict(keras_features(3).combine_chunks().to_batches()[0])
    assert (outputs["score"].shape, outputs["classes"].shape) == ((3, 1), (3, 3))
    binning = Binning.from_json((folder / names.BINNING_ARTIFACT).read_text())
    assert "image" not in binning.by_name
    again = register(settings, name, f"models:/{name}/1", keras_features(), alias="champion")
    assert again == version
    assert mlflow.pyfunc.load_model(f"models:/{name}/1").metadata.signature is not None


def test_what_mlflow_has_logged_becomes_a_version(settings: Mlflow, name: str) -> None:
    import mlflow

    connect(settings)
    mlflow.set_experiment(name)
    model = keras_models.build()
    with mlflow.start_run() as run:
        info = mlflow.tensorflow.log_model(model, name="model", pip_requirements=[])
    for place in (f"runs:/{run.info.run_id}/model", f"models:/{info.model_id}"):
        version = register(settings, name, place, keras_features())
        assert version.version == 1
    with pytest.raises(RegistryError, match="can't fetch 'runs:/0/model'"):
        register(settings, name, "runs:/0/model", keras_features())


def test_an_input_example_is_predicted_and_may_be_the_reference(
    settings: Mlflow, name: str, saved: Path, tmp_path: Path
) -> None:
    import mlflow

    client = connect(settings)
    mlflow.set_experiment(name)
    rows = keras_features(7).combine_chunks().to_batches()[0]
    tensors = {
        "x": rows.column("x").to_numpy().astype(np.float32).reshape(-1, 1),
        "k": rows.column("k").to_numpy().reshape(-1, 1),
        "c": np.array(rows.column("c").to_pylist(), dtype=object).reshape(-1, 1),
        "image": np.array(rows.column("image").to_pylist(), np.float32).reshape(-1, 4, 4),
    }
    example = {key: value.tolist() for key, value in tensors.items()}
    with mlflow.start_run() as run:
        mlflow.tensorflow.log_model(keras_models.build(), name="model", pip_requirements=[])
        model_id = mlflow.last_logged_model().model_id
    path = tmp_path / "input_example.json"
    path.write_text(json.dumps({"inputs": example}))
    client.log_model_artifacts(model_id, str(tmp_path))
    place = f"runs:/{run.info.run_id}/model"
    version = register(settings, name, place, None)
    folder = fetch(client, name, version.version, tmp_path / "cache")
    binning = Binning.from_json((folder / names.BINNING_ARTIFACT).read_text())
    reference = Profile.of(binning, (folder / names.REFERENCE_ARTIFACT).read_bytes())
    assert reference.rows == 7
    stored = manifest.read_example(folder, load(folder).inputs)
    assert stored is not None
    assert stored.column("x").to_pylist() == tensors["x"].ravel().tolist()[:5]
    example["x"][0] = [float("nan")]
    path.write_text(json.dumps({"inputs": example}))
    client.log_model_artifacts(model_id, str(tmp_path))
    with pytest.raises(RegistryError, match=r"scores of its input example are not finite: \[nan"):
        register(settings, name, place, keras_features())
    with pytest.raises(RegistryError, match=r"no input example that fits.*add --reference"):
        register(settings, name, saved, None)


def test_pickles_in_mlflow_are_refused(settings: Mlflow, name: str) -> None:
    import mlflow

    connect(settings)
    mlflow.set_experiment(name)
    with mlflow.start_run() as run:
        mlflow.log_text("x", "model/MLmodel")
        mlflow.log_text("x", "model/data/custom_objects.cloudpickle")
    with pytest.raises(RegistryError, match=r"'custom_objects.cloudpickle' is a pickle"):
        register(settings, name, f"runs:/{run.info.run_id}/model", keras_features())


def test_scores_that_are_not_finite_are_refused(
    settings: Mlflow, name: str, tmp_path: Path
) -> None:
    broken = saved_models.save(tmp_path / "nan", factor=float("nan"))
    with pytest.raises(RegistryError, match=r"its input example are not finite: \[nan, nan"):
        register(settings, name, broken, features())


def test_the_same_model_again_is_the_same_version(settings: Mlflow, name: str, saved: Path) -> None:
    first = register(settings, name, saved, features(), alias="champion")
    again = register(settings, name, saved, features(), alias="champion")
    other_definition = register(settings, name, saved, features(), training=Training("new"))
    assert again == first
    assert other_definition.version == 2


def test_what_may_not_serve_any_more_can_be_registered_again(
    stack: Stack, settings: Mlflow, name: str, saved: Path
) -> None:
    client = connect(settings)
    retired = register(settings, name, saved, features())
    client.set_model_version_tag(name, str(retired.version), aliases.RETIRED_TAG, "by ada")
    damaged = register(settings, name, saved, features())
    model_id = client.get_model_version(name, "2").source.removeprefix("models:/")
    (graph,) = stack.folder.glob(f"mlflow/**/{model_id}/**/saved_model.pb")
    graph.write_bytes(b"nonsense")
    assert [register(settings, name, saved, features()).version for _ in range(2)] == [3, 3]
    assert damaged.digest == retired.digest


def test_a_new_version_keeps_the_champions_bins(
    settings: Mlflow, name: str, saved: Path, tmp_path: Path
) -> None:
    first = register(settings, name, saved, features(), alias="champion")
    better = saved_models.save(tmp_path / "better", factor=3.0)
    second = register(settings, name, better, features(seed=1))
    rebinned = register(settings, name, better, features(seed=1), rebin=True)
    wider = features().append_column("new", pa.array(np.zeros(1_000)))
    with_more_columns = register(settings, name, better, wider)
    assert second.version == 2
    assert second.binning == first.binning
    assert len({first.binning, rebinned.binning, with_more_columns.binning}) == 3


def test_the_champion_is_the_version_of_the_configs_alias(
    stack: Stack, settings: Mlflow, name: str, saved: Path, tmp_path: Path
) -> None:
    section = {
        "input": {"topic": "t", "event_id": "id", "event_time": "at", "fields": {"x": "float"}},
        "registry": {"name": name, "alias": "production"},
    }
    config = tmp_path / "driftline.yaml"
    config.write_text(yaml.safe_dump({"state": str(stack.folder), "models": {"m": section}}))
    register(settings, name, saved, features(seed=2), alias="champion")  # serves nobody here
    better = saved_models.save(tmp_path / "better", factor=3.0)
    serving = register(settings, name, better, features(), alias="production", rebin=True)
    pq.write_table(features(seed=1), tmp_path / "reference.parquet")
    best = saved_models.save(tmp_path / "best", factor=4.0)
    reference = ["--name", name, "--reference", str(tmp_path / "reference.parquet")]
    arguments = ["register", str(best), *reference, "--config", str(config), "--json"]
    result = CliRunner().invoke(models, arguments, catch_exceptions=False)
    [version] = json.loads(result.stdout)
    assert version["version"] == 3
    assert version["binning"] == serving.binning


def test_given_scores_stay_with_their_rows(
    settings: Mlflow, name: str, saved: Path, tmp_path: Path
) -> None:
    labels = np.arange(1_000.0)
    whole = [None if row % 3 == 0 else row for row in range(1_000)]  # which the model must have
    table = features().set_column(1, "k", pa.array(whole, pa.int64()))
    version = register(settings, name, saved, table, scores=labels)
    folder = fetch(connect(settings), name, version.version, tmp_path)
    rows = sample.unpack((folder / names.REFERENCE_SAMPLE_ARTIFACT).read_bytes())
    assert len(rows) == 666
    assert rows.column(names.SCORE).to_pylist() == rows.column("k").to_pylist()
    wrong = r"the reference has 1000 rows, but 999 scores were given: give one score per row"
    with pytest.raises(RegistryError, match=wrong):
        register(settings, name, saved, table, scores=labels[1:])


def test_changed_files_are_refused(
    settings: Mlflow, name: str, saved: Path, tmp_path: Path
) -> None:
    register(settings, name, saved, features())
    client = connect(settings)
    client.set_model_version_tag(name, "1", layout.DIGEST_TAG, "0" * 64)
    with pytest.raises(RegistryError, match="were changed in the registry"):
        fetch(client, name, 1, tmp_path)


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_copy_that_was_damaged_is_fetched_again(
    settings: Mlflow, name: str, saved: Path, tmp_path: Path, damage: str
) -> None:
    register(settings, name, saved, features())
    client = connect(settings)
    folder = fetch(client, name, 1, tmp_path)
    graph = folder / layout.MODEL / "saved_model.pb"
    original = graph.read_bytes()
    if damage == "gone":
        graph.unlink()
    else:
        graph.write_bytes(original + b"!")
    assert fetch(client, name, 1, tmp_path) == folder
    assert graph.read_bytes() == original
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_versions_of_others_are_refused(settings: Mlflow, name: str, tmp_path: Path) -> None:
    client = connect(settings)
    client.create_registered_model(name)
    run = client.create_run(client.create_experiment(name))
    client.create_model_version(name, run.info.artifact_uri, run.info.run_id)
    with pytest.raises(RegistryError, match=r"version 1 of model .* has no digest"):
        fetch(client, name, 1, tmp_path)
    assert versions(client, name)[0].digest == ""


def test_what_does_not_exist_is_named(settings: Mlflow, name: str, tmp_path: Path) -> None:
    client = connect(settings)
    with pytest.raises(RegistryError, match=f"can't find model '{name}'@champion: .*models list"):
        resolve(client, name, "champion")
    with pytest.raises(RegistryError, match=f"can't find version 9 of model '{name}'"):
        fetch(client, name, 9, tmp_path)
    with pytest.raises(RegistryError, match=f"no registered model '{name}'"):
        versions(client, name)


def test_a_wrong_password_is_refused(settings: Mlflow, tmp_path: Path) -> None:
    wrong = tmp_path / "password"
    wrong.write_text("wrong")
    other = settings.model_copy(update={"password": Secret(file=wrong)})
    with pytest.raises(RegistryError, match=r"can't use MLflow at .*401"):
        connect(other)
    connect(settings)


def test_references_that_do_not_fit(settings: Mlflow, name: str, saved: Path) -> None:
    with pytest.raises(RegistryError, match="model input 'x' has no feature column"):
        register(settings, name, saved, features().drop_columns(["x"]))
    with pytest.raises(RegistryError, match="the reference has no rows"):
        register(settings, name, saved, features(0))
    missing = features().set_column(1, "k", pa.nulls(1_000, pa.int64()))
    with pytest.raises(RegistryError, match="no row of the reference can be scored: k must not be"):
        register(settings, name, saved, missing)


def test_the_commands(stack: Stack, name: str, saved: Path, tmp_path: Path) -> None:
    config = tmp_path / "driftline.yaml"
    config.write_text(yaml.safe_dump({"state": str(stack.folder)}))
    table = features().append_column("label", pa.array(np.zeros(1_000)))
    pq.write_table(table, tmp_path / "reference.parquet")
    reference = ["--name", name, "--reference", str(tmp_path / "reference.parquet")]
    common = ["--config", str(config)]
    arguments = ["register", str(saved), *reference, "--alias", "champion", "--exclude", "label"]
    result = CliRunner().invoke(models, [*arguments, *common, "--json"], catch_exceptions=False)
    version = json.loads(result.stdout)
    assert (version[0]["version"], version[0]["aliases"]) == (1, ["champion"])
    listed = CliRunner().invoke(models, ["list", "--name", name, *common, "--json"])
    assert json.loads(listed.stdout) == version
    shown = CliRunner().invoke(models, ["list", "--name", name, *common])
    assert name in shown.stdout
    assert "champion" in shown.stdout
    better = saved_models.save(tmp_path / "better", factor=3.0)
    taken = CliRunner().invoke(models, ["register", str(better), *arguments[2:], *common])
    assert "alias 'champion' of model" in str(taken.exception)
    assert "already points to version 1: register without --alias, then" in str(taken.exception)
    again = CliRunner().invoke(models, [*arguments, *common, "--json"], catch_exceptions=False)
    assert json.loads(again.stdout) == version
    listed = CliRunner().invoke(models, ["list", "--name", name, *common, "--json"])
    assert json.loads(listed.stdout) == version
    absent = CliRunner().invoke(models, [*arguments, "--exclude", "nothing", *common])
    assert str(absent.exception).startswith("the reference has no column 'nothing' to exclude (")
