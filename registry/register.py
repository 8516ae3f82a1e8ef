"""Register a model: its signature, its frozen binning, its reference profile and a sample."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from driftline import names
from driftline.config import Mlflow, Registry
from driftline.errors import RegistryError
from driftline.profile import blocks, sample
from driftline.profile.binning import Binning
from driftline.profile.build import build
from driftline.profile.recount import leave_one_out, reference
from driftline.registry import aliases, manifest, preflight
from driftline.registry.client import connect, translate_errors
from driftline.registry.files import layout
from driftline.registry.files.download import require_allowed
from driftline.registry.files.source import obtain
from driftline.registry.loaders import load
from driftline.registry.runtime import Runtime, score
from driftline.registry.versions import Version, champion_binning, find_identical

if TYPE_CHECKING:
    from mlflow import MlflowClient

_BATCH = 10_000
_EXAMPLE_ROWS = 5


@dataclass(frozen=True)
class Training:
    """How a version was trained; shown in its MLflow run.

    Attributes:
        definition: hash of the feature definition that computed the reference, "" if unknown.
        params: any hyperparameters.
        metrics: any measurements.
    """

    definition: str = ""
    params: Mapping[str, str] | None = None
    metrics: Mapping[str, float] | None = None


def register(
    settings: Mlflow,
    name: str,
    source: str | Path,
    features: pa.Table | None,
    *,
    scores: npt.ArrayLike | None = None,
    alias: str | None = None,
    training: Training | None = None,
    rebin: bool = False,
    times: pa.ChunkedArray | None = None,
    registered: Registry | None = None,
) -> Version:
    """Register a model as a version; registering the same model again returns the old version.

    The version takes over the champion's binning if that has the same columns, so that profiles of
    both versions can be compared; otherwise its binning is frozen from `features`.

    Parameters:
        settings: where the registry is.
        name: the registered model; created if it does not exist.
        source: a SavedModel's folder (from Keras' `model.export` or `tf.saved_model.save`), a
            `.keras` file, or a TensorFlow model in MLflow: `runs:/ID/path`, `models:/...`.
        features: the reference, n rows: the model's inputs and further columns to monitor. None
            uses the source's input example: enough to serve, too little to monitor.
        scores: n scores of the reference; default: computed with the model.
        alias: set to the version, such as champion, unless it points to another version.
        training: how the version was trained.
        rebin: freeze new bins even if the champion's fit.
        times: n event times of the reference, from which its variation over time is estimated.
        registered: the model's `registry` section: the champion's alias, which output is the
            score, the time limit of the preflight check.

    Raises:
        RegistryError: the model is unusable, has no score, could run code of its own, or fails the
            preflight check; the features do not fit it; there are more or fewer scores than rows;
            the scores of its input example are not finite; the alias points to another version; or
            the registry rejects it.
        SchemaError: a feature column cannot be profiled.
        ServiceError: the registry is unavailable.
    """
    client = connect(settings)
    training = training or Training()
    # registration runs the model in process, even if a model server serves it later
    section = (registered or Registry(name=name)).model_copy(update={"serving": None})
    with tempfile.TemporaryDirectory(prefix="driftline-register-") as temporary:
        folder, download = Path(temporary) / "model", Path(temporary) / "download"
        download.mkdir()
        obtained = obtain(client, str(source), download)
        layout.copy_model(obtained, folder)
        model_digest = layout.digest(folder)
        if alias is not None:  # fail early where possible; checked again before the upload
            tag, own_tags = layout.MODEL_DIGEST_TAG, (None, model_digest)
            _require_free(client, name, alias, lambda record: record.tags.get(tag) in own_tags)
        _preflight(folder, source, section, features)
        runtime = load(folder, section)
        own_example = manifest.read_example(obtained, runtime.inputs)
        table = _reference(features, own_example)
        if times is not None:
            table = table.append_column(names.EVENT_TIME, times)
        rows = _usable(runtime, table)
        usable, event_times = _split_times(table.filter(rows))
        reference_scores = _predict(runtime, usable) if scores is None else _select(scores, rows)
        binning = None if rebin else _reusable_binning(client, name, section.alias, usable)
        binning = binning or build(usable, reference_scores)
        _write_reference(folder, usable, reference_scores, binning)
        if event_times is not None:
            scored = usable.append_column(names.SCORE, pa.array(reference_scores))
            _write_blocks(folder, scored, event_times, binning)
        manifest.write(folder, runtime, _example(runtime, usable, own_example))
        layout.refuse_code(folder)
        version = find_identical(client, name, layout.digest(folder), training.definition)
        if alias is not None:
            number = None if version is None else version.version
            _require_free(client, name, alias, lambda record: int(record.version) == number)
        if version is None:
            version = _upload(client, name, folder, training, model_digest)
    if alias is not None:
        aliases.set_alias(client, name, alias, version.version)
    if alias == section.alias:  # a version that was registered before may have other roles
        aliases.remove_other_roles(client, name, section.alias)
    return version if alias is None else replace(version, aliases=(alias,))


def _preflight(
    folder: Path, source: str | Path, registered: Registry, features: pa.Table | None
) -> None:
    rows = None if features is None else features.slice(0, preflight.ROWS).combine_chunks()
    batches = [] if rows is None else rows.to_batches()
    try:
        preflight.check(folder, registered, 0, batches[0] if batches else None)
    except RegistryError as error:
        raise RegistryError(
            f"the model in {str(source)!r} fails the preflight check: {error}"
        ) from error


def _require_free(
    client: "MlflowClient", name: str, alias: str, is_own: Callable[[Any], bool]
) -> None:
    """Refuse to take an alias from another version: the gates decide who becomes champion.

    Parameters:
        is_own: whether MLflow's record of the aliased version may be of the one being registered.
    """
    current = aliases.find_by_alias(client, name, alias)
    if current is None or is_own(current):
        return
    raise RegistryError(
        f"alias {alias!r} of model {name!r} already points to version {current.version}: register "
        "without --alias, then run 'driftline models promote', which makes the new version "
        "champion if the gates pass (--force --reason '…' overrides them)"
    )


def _usable(runtime: Runtime, features: pa.Table) -> pa.Array:
    """Which of the n rows of the reference the model can score, bool[n]."""
    runtime.check(features.schema)
    if len(features) == 0:
        raise RegistryError("the reference has no rows: use the features of the training data")
    batch = features.combine_chunks().to_batches()[0]
    unusable, columns = runtime.unusable(batch)
    if unusable.all():
        raise RegistryError(
            f"no row of the reference can be scored: {', '.join(columns)} must not be missing"
        )
    return pa.array(~unusable)


def _select(scores: npt.ArrayLike, rows: pa.Array) -> npt.NDArray[Any]:
    """The given scores of the rows that are used."""
    values = np.asarray(scores).reshape(-1)
    if len(values) != len(rows):
        raise RegistryError(
            f"the reference has {len(rows)} rows, but {len(values)} scores were given: "
            "give one score per row, in the same order"
        )
    is_used: npt.NDArray[np.bool_] = np.asarray(rows)
    return values[is_used]


def _reference(features: pa.Table | None, own_example: pa.RecordBatch | None) -> pa.Table:
    """The given reference, otherwise the input example of the model's source."""
    if features is not None:
        return features
    if own_example is None:
        raise RegistryError(
            "the model has no input example that fits its inputs: add --reference with a file of "
            "the features of its training data"
        )
    return pa.Table.from_batches([own_example])


def _example(runtime: Runtime, features: pa.Table, own_example: pa.RecordBatch | None) -> pa.Table:
    """The version's input example: its own, or the first rows (complete, if any) of the reference.

    Raises:
        RegistryError: the model's scores of it are not finite.
    """
    if own_example is None:
        inputs = features.select(list(runtime.inputs))
        complete = inputs.slice(0, _BATCH).drop_null()
        example = (complete if len(complete) else inputs).slice(0, _EXAMPLE_ROWS)
    else:
        table = pa.Table.from_batches([own_example])
        example = table.filter(_usable(runtime, table)).slice(0, _EXAMPLE_ROWS)
    scores = _predict(runtime, example)
    if not np.isfinite(scores).all():
        raise RegistryError(
            f"the model's scores of its input example are not finite: {scores.tolist()}: check "
            "that it was trained, and how it handles missing values"
        )
    return example


def _predict(runtime: Runtime, features: pa.Table) -> npt.NDArray[np.float64]:
    batches = features.combine_chunks().to_batches(max_chunksize=_BATCH)
    return np.concatenate([score(runtime.predict(batch), runtime.score) for batch in batches])


def _write_reference(
    folder: Path, features: pa.Table, scores: npt.NDArray[np.float64], binning: Binning
) -> None:
    path = folder / names.BINNING_ARTIFACT
    path.parent.mkdir(parents=True)
    path.write_text(binning.to_json())
    profile = reference(features, scores, binning)
    (folder / names.REFERENCE_ARTIFACT).write_bytes(profile.pack())
    rows = sample.draw(features, scores)
    (folder / names.REFERENCE_SAMPLE_ARTIFACT).write_bytes(sample.pack(rows))


def _write_blocks(folder: Path, rows: pa.Table, times: pa.ChunkedArray, binning: Binning) -> None:
    content = blocks.artifact(leave_one_out(rows, binning), times, binning)
    (folder / names.REFERENCE_BLOCKS_ARTIFACT).write_bytes(content)


def _split_times(features: pa.Table) -> tuple[pa.Table, pa.ChunkedArray | None]:
    if names.EVENT_TIME not in features.column_names:
        return features, None
    return features.drop_columns([names.EVENT_TIME]), features.column(names.EVENT_TIME)


def _reusable_binning(
    client: "MlflowClient", name: str, champion: str, features: pa.Table
) -> Binning | None:
    """The champion's binning, if it has bins of the right kinds for exactly these features."""
    binning = champion_binning(client, name, champion)
    if binning is None:
        return None
    kinds = {bins.name: bins.kind for bins in build(features.slice(0, 1), [0.0]).columns}
    return binning if {bins.name: bins.kind for bins in binning.columns} == kinds else None


def _upload(
    client: "MlflowClient", name: str, folder: Path, training: Training, model_digest: str
) -> Version:
    digest = layout.digest(folder)
    binning = Binning.from_json((folder / names.BINNING_ARTIFACT).read_text())
    tags = {
        layout.DIGEST_TAG: digest,
        layout.MODEL_DIGEST_TAG: model_digest,
        layout.DEFINITION_TAG: training.definition,
        layout.BINNING_TAG: binning.id,
    }
    with translate_errors(f"can't register model {name!r}"):
        experiment = _experiment(client, name)
        run = client.create_run(experiment, run_name=digest[:8])
        run_id = run.info.run_id
        for param, text in (training.params or {}).items():
            client.log_param(run_id, param, text)
        for metric, number in (training.metrics or {}).items():
            client.log_metric(run_id, metric, number)
        model_id = _log_model(client, experiment, name, run_id, folder)
        if not client.search_registered_models(f"name = '{name}'", max_results=1):
            client.create_registered_model(name)
        record = client.create_model_version(
            name, source=f"models:/{model_id}", run_id=run_id, tags=tags, model_id=model_id
        )
        client.set_terminated(run_id)
    return Version.of(record)


def _experiment(client: "MlflowClient", name: str) -> str:
    experiment = client.get_experiment_by_name(name)
    return str(experiment.experiment_id if experiment else client.create_experiment(name))


def _log_model(
    client: "MlflowClient", experiment: str, name: str, run_id: str, folder: Path
) -> str:
    from mlflow.entities import LoggedModelOutput

    logged = client.create_logged_model(experiment, name=name, source_run_id=run_id)
    # anybody may have created the experiment, with any artifact location
    require_allowed(client, logged.artifact_location)
    client.log_model_artifacts(logged.model_id, str(folder))
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, models=[LoggedModelOutput(model_id=logged.model_id, step=0)])
    return str(logged.model_id)
