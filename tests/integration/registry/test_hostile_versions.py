"""Hostile versions in a real registry: refused where they are registered, and by the job."""

import http.server
import shutil
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa
import pytest
import yaml

from driftline.config import Config, Mlflow, load
from driftline.errors import RegistryError
from driftline.registry.client import connect
from driftline.registry.files import download, layout
from driftline.registry.files.cache import fetch
from driftline.registry.register import register
from driftline.services.stack import Stack
from driftline.streaming.rollout.prepare import PreparedVersion, fetch_version, prepare
from tests.unit.registry import keras_models, saved_models
from tests.unit.registry.hostile import VERSIONS

if TYPE_CHECKING:
    from mlflow import MlflowClient

SCHEMA = pa.schema(
    [
        ("x", pa.float64()),
        ("k", pa.int64()),
        ("c", pa.string()),
        ("b", pa.bool_()),
        ("image", pa.list_(pa.float32(), 16)),
    ]
)


def features(n: int = 50) -> pa.Table:
    random = np.random.default_rng(0)
    return pa.table(
        {
            "x": random.normal(size=n),
            "k": random.integers(0, 9, n),
            "c": random.choice(["a", "b"], n),
            "b": random.random(n) < 0.5,
            "image": pa.array(random.random((n, 16)).tolist(), pa.list_(pa.float32(), 16)),
        },
        schema=SCHEMA,
    )


@pytest.fixture(scope="module")
def settings(stack: Stack) -> Mlflow:
    return Config(state=stack.folder).local_mlflow()


@pytest.fixture(scope="module")
def good(settings: Mlflow, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """The folders of a SavedModel's and of a Keras model's version, as they were registered."""
    folder, folders = tmp_path_factory.mktemp("good"), {}
    sources = {
        False: saved_models.save(folder / "saved"),
        True: keras_models.save(folder / "m.keras"),
    }
    for keras, source in sources.items():
        name = f"good-{uuid.uuid4().hex[:8]}"
        register(settings, name, source, features())
        folders[keras] = fetch(connect(settings), name, 1, folder)
    return folders


@dataclass(frozen=True)
class Job:
    """What a model's job, and who registers its versions, work with.

    Attributes:
        name: of the registered model, which does not exist yet.
        config: of the model `m`, with a cache of versions of its own.
    """

    name: str
    settings: Mlflow
    config: Config

    @property
    def client(self) -> "MlflowClient":
        return connect(self.settings)

    def upload(self, folder: Path, digest: str = "") -> None:
        """A version as MLflow's own client makes it, with the digest that driftline reads."""
        client = self.client
        model = client.create_logged_model(client.create_experiment(self.name), name=self.name)
        client.log_model_artifacts(model.model_id, str(folder))
        client.finalize_logged_model(model.model_id, "READY")
        self.point(f"models:/{model.model_id}", digest or layout.digest(folder))

    def point(self, source: str, digest: str, run_id: str | None = None) -> None:
        """A version of files that are somewhere."""
        client, tags = self.client, {layout.DIGEST_TAG: digest}
        model_id = None if run_id else source.removeprefix("models:/")
        client.create_registered_model(self.name)
        client.create_model_version(self.name, source, run_id, tags=tags, model_id=model_id)

    def serve(self) -> PreparedVersion:
        """What the job does to serve a version."""
        return prepare(
            self.config, "m", fetch_version(self.config, "m", self.client, 1), SCHEMA, ""
        )

    def register(self, source: str | Path) -> None:
        register(self.settings, self.name, source, features())


@pytest.fixture
def job(settings: Mlflow, tmp_path: Path) -> Job:
    name = f"hostile-{uuid.uuid4().hex[:8]}"
    fields: dict[str, object] = {"x": "float", "k": "int", "c": "string", "b": "bool"}
    fields["image"] = {"type": "tensor", "shape": [16]}
    section = {
        "input": {"topic": "t", "event_id": "e", "event_time": "t", "fields": fields},
        "registry": {"name": name},
    }
    path = tmp_path / "driftline.yaml"
    path.write_text(yaml.safe_dump({"state": str(tmp_path / "state"), "models": {"m": section}}))
    return Job(name, settings, load(path))


@pytest.mark.parametrize("keras", [False, True])
def test_the_good_versions_serve(job: Job, good: dict[bool, Path], keras: bool) -> None:
    job.upload(good[keras])
    assert job.serve().record.reference_rows == 50


@pytest.mark.parametrize("kind", VERSIONS)
def test_the_job_refuses(job: Job, good: dict[bool, Path], kind: str, tmp_path: Path) -> None:
    hostile, marker = VERSIONS[kind], tmp_path / "marker"
    folder = Path(shutil.copytree(good[hostile.keras], tmp_path / "version"))
    hostile.change(folder, marker)
    job.upload(folder, "0" * 64 if kind == "two-models" else "")
    old_files = set(tmp_path.rglob("*"))
    with pytest.raises(RegistryError, match=hostile.message):
        job.serve()
    new_files = {path for path in set(tmp_path.rglob("*")) - old_files if path.is_file()}
    assert all(path.is_relative_to(tmp_path / "state" / "models" / job.name) for path in new_files)
    assert not marker.exists()


@pytest.mark.parametrize("kind", [kind for kind, hostile in VERSIONS.items() if hostile.registered])
def test_registration_refuses(job: Job, good: dict[bool, Path], kind: str, tmp_path: Path) -> None:
    hostile, marker = VERSIONS[kind], tmp_path / "marker"
    folder = Path(shutil.copytree(good[hostile.keras], tmp_path / "version"))
    hostile.change(folder, marker)
    with pytest.raises(RegistryError, match=hostile.message):
        job.register(folder)
    assert not marker.exists()
    assert not job.client.search_registered_models(f"name = '{job.name}'")


@pytest.mark.parametrize("digest", ["/../../../../victim", "../" * 30, "A" * 64, "0" * 63])
def test_a_digest_is_no_path(job: Job, good: dict[bool, Path], digest: str, tmp_path: Path) -> None:
    job.upload(good[False], digest)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    with pytest.raises(RegistryError, match=r"has an invalid digest .*: its tag"):
        job.serve()
    assert victim.read_text() == "precious"
    assert not [path for path in (tmp_path / "state").rglob("*") if path.is_file()]


class _Listener(http.server.BaseHTTPRequestHandler):
    """Another host: notes the login of every request."""

    heard: ClassVar[list[str | None]] = []

    def _note(self) -> None:
        self.heard.append(self.headers.get("Authorization"))
        self.send_error(404)

    do_GET = do_POST = do_PUT = _note  # noqa: N815 - the names that it looks for

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """The address of another host."""
    _Listener.heard.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Listener) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "place", ["http://{}/api/2.0/mlflow-artifacts/artifacts/x", "mlflow-artifacts://{}/x"]
)
def test_the_registrys_password_goes_to_no_other_host(
    job: Job, stack: Stack, good: dict[bool, Path], place: str, elsewhere: str
) -> None:
    client = job.client
    experiment = client.create_experiment(job.name)
    # this MLflow refuses such a location by default; other servers do not
    with closing(sqlite3.connect(stack.folder / "mlflow" / "mlflow.db", timeout=60)) as database:
        update = "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?"
        database.execute(update, (place.format(elsewhere), experiment))
        database.commit()
    model = client.create_logged_model(experiment, name=job.name)
    client.finalize_logged_model(model.model_id, "READY")
    run = client.create_run(experiment).info.run_id
    source = f"models:/{model.model_id}"
    job.point(source, "0" * 64)
    with pytest.raises(RegistryError, match=r"artifacts at .* are not allowed: serve them"):
        job.serve()
    # the last: nor are files sent there
    for uri in (source, f"runs:/{run}/model", f"models:/{job.name}/1", good[False]):
        with pytest.raises(RegistryError, match=r"artifacts at .* are not allowed: serve them"):
            job.register(uri)
    assert _Listener.heard == []


def test_no_files_of_this_machine_become_a_version(job: Job, good: dict[bool, Path]) -> None:
    client = job.client
    place = good[False].parent.as_uri()
    run = client.create_run(client.create_experiment(job.name, artifact_location=place)).info
    job.point(run.artifact_uri, layout.digest(good[False]), run.run_id)
    refused = r"artifacts at 'file:///.*' are not allowed: serve them"
    with pytest.raises(RegistryError, match=refused):
        job.serve()
    with pytest.raises(RegistryError, match=refused):
        job.register(f"runs:/{run.run_id}")
    assert good[False].is_dir()


@pytest.mark.parametrize("limit", ["_MAX_FILES", "_MAX_BYTES"])
def test_more_than_a_version_has_is_not_downloaded(
    job: Job, good: dict[bool, Path], limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.upload(good[False])
    monkeypatch.setattr(download, limit, 5)
    with pytest.raises(RegistryError, match="has more than"):
        job.serve()
    assert not [path for path in job.config.state.rglob("*") if path.is_file()]
