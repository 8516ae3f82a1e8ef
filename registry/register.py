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
from driftline.profile.recount import left_out, reference
from driftline.registry import aliases, manifest
from driftline.registry.client import answering, connect
from driftline.registry.files import layout
from driftline.registry.files.download import require_allowed
from driftline.registry.files.source import obtain
from driftline.registry.loaders import load
from driftline.registry.runtime import Runtime, score
from driftline.registry.trial import TRIED_ROWS, try_out
from driftline.registry.versions import Version, champion_binning, find

if TYPE_CHECKING:
    from mlflow import MlflowClient

_BATCH = 10_000
_EXAMPLE_ROWS = 5


@dataclass(frozen=True)
class Training:
    """What is known of a version's making; shown in MLflow's run.

    Attributes:
        definition: hash of the feature definition that made the reference, "" when unknown.
        params: anything that was chosen.
        metrics: anything that was measured.
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
    """Make a model a version of a registered model; the same one again gives the old version.

    The binning is the champion's when it has the same columns, so that profiles of both versions
    can be compared; else it is frozen from `features`.

    Args:
        settings: where the registry is.
        name: the registered model; made when it does not exist.
        source: a SavedModel's folder (of Keras' `model.export` or `tf.saved_model.save`), a
            `.keras` file, or a TensorFlow model that MLflow has: `runs:/ID/path`, `models:/...`.
        features: the reference, n rows: the model's inputs and further columns to monitor. None
            takes the input example of the source: enough to serve, too little to monitor.
        scores: n scores of the reference; computed with the model when not given.
        alias: set to the version, such as champion, where it points to no other one.
        training: how the version was made.
        rebin: freeze new bins even when the champion's would fit.
        times: n event times of the reference, so that its variation in time is known.
        registered: the model's `registry` section: the champion's alias, which output is the
            score, how long it may take to load and predict in a process of its own.

    Raises:
        RegistryError: no usable model, or none of its outputs is the score; one that could run code
            of its own, fails or hangs; features that do not fit it; more or fewer scores than rows,
            scores of its input example that are not finite; an alias that points to another
            version; or the registry is down.
        SchemaError: a feature column cannot be profiled.
    """
    client = connect(settings)
    made = training or Training()
    # registering runs it in process, wherever it is served
    section = (registered or Registry(name=name)).model_copy(update={"serving": None})
    with tempfile.TemporaryDirectory(prefix="driftline-register-") as temporary:
        folder, download = Path(temporary) / "model", Path(temporary) / "download"
        download.mkdir()
        obtained = obtain(client, str(source), download)
        layout.place(obtained, folder)
        model_digest = layout.digest(folder)
        if alias is not None:  # before the work, as far as it can be known
            tag, own_tags = layout.MODEL_DIGEST_TAG, (None, model_digest)
            _require_free(client, name, alias, lambda holder: holder.tags.get(tag) in own_tags)
        _try_out(folder, source, section, features)
        runtime = load(folder, section)
        own = manifest.example(obtained, runtime.inputs)
        given = _reference(features, own)
        timed = given if times is None else given.append_column(names.EVENT_TIME, times)
        rows = _usable(runtime, timed)
        usable, when = _without_times(timed.filter(rows))
        known = _scores(runtime, usable) if scores is None else _given(scores, rows)
        binning = None if rebin else _kept_binning(client, name, section.alias, usable)
        binning = binning or build(usable, known)
        _write_reference(folder, usable, known, binning)
        if when is not None:
            _write_blocks(folder, usable.append_column(names.SCORE, pa.array(known)), when, binning)
        manifest.write(folder, runtime, _example(runtime, usable, own))
        layout.refuse_code(folder)
        version = find(client, name, layout.digest(folder), made.definition)
        if alias is not None:
            number = None if version is None else version.version
            _require_free(client, name, alias, lambda holder: int(holder.version) == number)
        if version is None:
            version = _upload(client, name, folder, made, model_digest)
    if alias is not None:
        aliases.point(client, name, alias, version.version)
    if alias == section.alias:  # the version may be an old one
        aliases.end_other_roles(client, name, section.alias)
    return version if alias is None else replace(version, aliases=(alias,))


def _try_out(
    folder: Path, source: str | Path, registered: Registry, features: pa.Table | None
) -> None:
    """Load it and have it predict the first rows where a hang or a crash does no harm."""
    rows = None if features is None else features.slice(0, TRIED_ROWS).combine_chunks()
    batches = [] if rows is None else rows.to_batches()
    try:
        try_out(folder, registered, 0, batches[0] if batches else None)
    except RegistryError as error:
        raise RegistryError(f"the model in {str(source)!r} fails its trial: {error}") from error


def _require_free(
    client: "MlflowClient", name: str, alias: str, is_own: Callable[[Any], bool]
) -> None:
    """Refuse to take an alias from another version: of champions the gates decide.

    Args:
        is_own: whether the version that has the alias may be the one that is registered.
    """
    holder = aliases.holder(client, name, alias)
    if holder is None or is_own(holder):
        return
    raise RegistryError(
        f"{alias} of model {name!r} is version {holder.version} already: register without "
        "--alias, then 'driftline models promote' makes the new version champion when the gates "
        "pass, and with --force --reason '…' without them"
    )


def _usable(runtime: Runtime, features: pa.Table) -> pa.Array:
    """Which of n rows of the reference the model can take, bool[n]."""
    runtime.check(features.schema)
    if len(features) == 0:
        raise RegistryError("the reference has no rows: give the features of the training data")
    batch = features.combine_chunks().to_batches()[0]
    bad, columns = runtime.unusable(batch)
    if bad.all():
        raise RegistryError(
            f"no row of the reference can be scored, {', '.join(columns)} is missing in each"
        )
    return pa.array(~bad)


def _given(scores: npt.ArrayLike, rows: pa.Array) -> npt.NDArray[Any]:
    """The scores that were given of the rows that are used."""
    known = np.asarray(scores).reshape(-1)
    if len(known) != len(rows):
        raise RegistryError(
            f"the reference has {len(rows)} rows, but {len(known)} scores were given: "
            "give one score a row, in the same order"
        )
    chosen: npt.NDArray[np.bool_] = np.asarray(rows)
    return known[chosen]


def _reference(features: pa.Table | None, own: pa.RecordBatch | None) -> pa.Table:
    """The reference that is given, else the input example that came with the model."""
    if features is not None:
        return features
    if own is None:
        raise RegistryError(
            "the model has no input example that fits its inputs: give --reference, a file with "
            "the features of its training data"
        )
    return pa.Table.from_batches([own])


def _example(runtime: Runtime, features: pa.Table, own: pa.RecordBatch | None) -> pa.Table:
    """The version's input example: its own, or the first rows of the reference.

    Of the reference it is complete rows, if there are.

    Raises:
        RegistryError: the model gives them scores that are not finite.
    """
    if own is None:
        inputs = features.select(list(runtime.inputs))
        complete = inputs.slice(0, _BATCH).drop_null()
        example = (complete if len(complete) else inputs).slice(0, _EXAMPLE_ROWS)
    else:
        whole = pa.Table.from_batches([own])
        example = whole.filter(_usable(runtime, whole)).slice(0, _EXAMPLE_ROWS)
    scores = _scores(runtime, example)
    if not np.isfinite(scores).all():
        raise RegistryError(
            f"the model gives its input example the scores {scores.tolist()}, not finite numbers: "
            "see that it was trained, and how it takes missing values"
        )
    return example


def _scores(runtime: Runtime, features: pa.Table) -> npt.NDArray[np.float64]:
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
    rows = sample.take(features, scores)
    (folder / names.REFERENCE_SAMPLE_ARTIFACT).write_bytes(sample.pack(rows))


def _write_blocks(folder: Path, rows: pa.Table, times: pa.ChunkedArray, binning: Binning) -> None:
    content = blocks.artifact(left_out(rows, binning), times, binning)
    (folder / names.REFERENCE_BLOCKS_ARTIFACT).write_bytes(content)


def _without_times(features: pa.Table) -> tuple[pa.Table, pa.ChunkedArray | None]:
    if names.EVENT_TIME not in features.column_names:
        return features, None
    return features.drop_columns([names.EVENT_TIME]), features.column(names.EVENT_TIME)


def _kept_binning(
    client: "MlflowClient", name: str, champion: str, features: pa.Table
) -> Binning | None:
    """The champion's binning, when it has bins of the right kinds for exactly these features."""
    kept = champion_binning(client, name, champion)
    if kept is None:
        return None
    own = {bins.name: bins.kind for bins in build(features.slice(0, 1), [0.0]).columns}
    return kept if {bins.name: bins.kind for bins in kept.columns} == own else None


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
    with answering(f"can't register model {name!r}"):
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
        made = client.create_model_version(
            name, source=f"models:/{model_id}", run_id=run_id, tags=tags, model_id=model_id
        )
        client.set_terminated(run_id)
    return Version.of(made)


def _experiment(client: "MlflowClient", name: str) -> str:
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name))


def _log_model(
    client: "MlflowClient", experiment: str, name: str, run_id: str, folder: Path
) -> str:
    from mlflow.entities import LoggedModelOutput

    logged = client.create_logged_model(experiment, name=name, source_run_id=run_id)
    require_allowed(client, logged.artifact_location)  # of an experiment that others can make
    client.log_model_artifacts(logged.model_id, str(folder))
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, models=[LoggedModelOutput(model_id=logged.model_id, step=0)])
    return str(logged.model_id)
