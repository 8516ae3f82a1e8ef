"""Collects the evidence for the gates: loads the versions, scores the file, reads live events."""

import math
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from driftline import parquet
from driftline.config import Config, Model, OfflineGate
from driftline.errors import DriftlineError, RegistryError, ServiceError
from driftline.registry import preflight
from driftline.registry.columns import blank
from driftline.registry.files.cache import fetch
from driftline.registry.gates.evidence import Evidence, Floats, Offline
from driftline.registry.loaders import load
from driftline.registry.runtime import score
from driftline.storage.connection import connect
from driftline.storage.tables import prediction_table
from driftline.storage.versions import live_evidence as store

if TYPE_CHECKING:
    from mlflow import MlflowClient

_BATCH = 10_000
_LIVE = frozenset({"agreement", "scores", "latency"})
_LABELLED = frozenset({"calibration", "performance"})


def gather(
    config: Config,
    client: "MlflowClient",
    model: str,
    *,
    candidate: int,
    champion: int | None,
    gates: Collection[str],
) -> Evidence:
    """The evidence that the given gates need; a version's failure is evidence, not an error.

    Parameters:
        config: the configuration, with the model.
        client: of the registry.
        model: the model's name in the config.
        candidate, champion: the versions to compare.
        gates: the names of the gates.

    Raises:
        SchemaError: the model has no tables.
        ServiceError: the registry or the database is unavailable.
    """
    section = config.model(model)
    with connect(config.local_postgres(), "read") as connection:
        features = _with_shapes(prediction_table.features(connection, model), section)
    incompatible = _incompatibility(config, client, model, candidate, features)
    live = labelled = store.NO_PAIRS
    offline: Offline | str | None = None
    if champion is not None:
        if _LIVE & set(gates):
            live = _pairs(config, model, champion, candidate)
        if _LABELLED & set(gates):
            labelled = _pairs(config, model, champion, candidate, labelled=True)
        if "offline" in gates and section.gates.offline is not None:
            if incompatible is not None:
                offline = "the file was not scored, because the signature gate failed"
            else:
                offline = _offline(config, client, model, champion, candidate)
    return Evidence(incompatible, live, labelled, offline)


def _with_shapes(features: pa.Schema, section: Model) -> pa.Schema:
    """The table's columns with the shapes of tensors, which only the config contains."""
    for name, field in section.input.fields.items():
        if field.shape is not None and name in features.names:
            index = features.get_field_index(name)
            values = features.field(index).type.value_type
            features = features.set(index, pa.field(name, pa.list_(values, math.prod(field.shape))))
    return features


def _pairs(
    config: Config, model: str, champion: int, candidate: int, *, labelled: bool = False
) -> store.Pairs:
    window = config.model(model).gates.evidence_window
    return store.pairs(
        config.local_postgres(), model, champion, candidate, window=window, labelled=labelled
    )


def _fetch(config: Config, client: "MlflowClient", model: str, version: int) -> Path:
    name = config.model(model).registry.name
    return fetch(client, name, version, config.folder("models"))


def _incompatibility(
    config: Config, client: "MlflowClient", model: str, version: int, features: pa.Schema
) -> str | None:
    """Why a version cannot serve the live features, from its preflight check; None if it can."""
    registered = config.model(model).registry
    try:
        folder = _fetch(config, client, model, version)
        preflight.check(folder, registered, version, blank(features, preflight.ROWS))
    except RegistryError as error:
        return str(error)
    return None


def _offline(
    config: Config, client: "MlflowClient", model: str, champion: int, candidate: int
) -> Offline | str:
    settings = config.model(model).gates.offline
    assert settings is not None
    try:
        features, label = _read(settings)
        candidate_scores = _score(config, client, model, candidate, features, "candidate")
        champion_scores = _score(config, client, model, champion, features, "champion")
    except RegistryError as error:
        return str(error)
    return Offline(label, champion_scores, candidate_scores)


def _read(settings: OfflineGate) -> tuple[pa.Table, Floats]:
    """The file's rows that have a label."""
    path = str(settings.data)
    try:
        table = parquet.read(settings.data, "gates.offline.data")
    except DriftlineError as error:
        raise RegistryError(str(error)) from error
    if settings.label not in table.column_names:
        raise RegistryError(
            f"the file {path!r} has no column {settings.label!r} (available: "
            f"{', '.join(table.column_names)}): correct gates.offline.label"
        )
    try:
        label = table[settings.label].cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise RegistryError(
            f"column {settings.label!r} of {path!r} has type {table[settings.label].type}: "
            "convert it to a number or a bool"
        ) from error
    values = label.to_numpy()
    has_label = np.isfinite(values)
    return table.drop_columns([settings.label]).filter(pa.array(has_label)), values[has_label]


def _score(  # noqa: PLR0917 - all of them identify what is scored
    config: Config, client: "MlflowClient", model: str, version: int, features: pa.Table, role: str
) -> Floats:
    """The scores, float64[n]; NaN for rows that the version cannot score."""
    name, parts = f"the {role} (version {version})", [np.empty(0)]
    try:
        folder = _fetch(config, client, model, version)
        runtime = load(folder, config.model(model).registry, version)
        runtime.check(features.schema)
        for batch in features.combine_chunks().to_batches(max_chunksize=_BATCH):
            unusable, _ = runtime.unusable(batch)
            part = np.full(len(batch), np.nan)
            if not unusable.all():
                outputs = runtime.predict(batch.filter(pa.array(~unusable)))
                part[~unusable] = score(outputs, runtime.score)
            parts.append(part)
    except RegistryError as error:
        raise RegistryError(f"{name} can't score gates.offline.data: {error}") from error
    except ServiceError:
        raise
    except Exception as error:  # a model may raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RegistryError(f"{name} fails on gates.offline.data: {reason}") from error
    return np.concatenate(parts)
