"""The model versions that the store has rows of: their origin and binning."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from driftline.errors import RegistryError
from driftline.profile.binning import Binning
from driftline.profile.blocks import Block
from driftline.storage.connection import Connection
from driftline.storage.monitoring import reference_sample, references


@dataclass(frozen=True)
class ModelVersion:
    """One version as the job serves it.

    Attributes:
        model: the model's name in the config.
        version: its number in the registry.
        run_id: the MLflow run that created it.
        digest: sha256 of the loaded files.
        signature: inputs and outputs, as MLflow's JSON.
        features_hash: of the feature definition that serves it.
        binning: how its values are profiled.
        reference: the packed profile of its training data.
        reference_rows: how many rows that profile counts.
        reference_sample: some of those rows, packed; None for versions without.
        reference_blocks: its profiles by time, if the times of its rows are known.
    """

    model: str
    version: int
    run_id: str
    digest: str
    signature: dict[str, Any]
    features_hash: str
    binning: Binning
    reference: bytes
    reference_rows: int
    reference_sample: bytes | None = None
    reference_blocks: Sequence[Block] = ()


def stored(connection: Connection, model: str) -> dict[int, tuple[str, str]]:
    """Run and digest of each version ever loaded for a model, by number."""
    rows = connection.execute(
        "SELECT version, run_id, digest FROM driftline.model_version WHERE model = %s", [model]
    ).fetchall()
    return {version: (run_id, digest) for version, run_id, digest in rows}


def record(connection: Connection, version: ModelVersion) -> None:
    """Store a version with its binning and reference, unless it is stored already.

    If a stored version's feature definition has changed, records the new one.

    Parameters:
        connection: as role `write`.

    Raises:
        RegistryError: a version with this number was loaded before, with other files.
    """
    with connection.transaction():
        connection.execute(
            """INSERT INTO driftline.binning (id, spec) VALUES (%s, %s::jsonb)
               ON CONFLICT DO NOTHING""",
            (version.binning.id, version.binning.to_json()),
        )
        connection.execute(
            """INSERT INTO driftline.model_version
                 (model, version, run_id, digest, signature, features_hash, binning_id)
               VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING""",
            (
                version.model,
                version.version,
                version.run_id,
                version.digest,
                Jsonb(version.signature),
                version.features_hash,
                version.binning.id,
            ),
        )
        stored_digest = connection.execute(
            "SELECT digest FROM driftline.model_version WHERE model = %s AND version = %s",
            (version.model, version.version),
        ).fetchone()
        if stored_digest != (version.digest,):
            raise RegistryError(
                f"version {version.version} of model {version.model!r} was loaded before with "
                "other files: the registered model was replaced or recreated; give the model "
                "another name in driftline.yaml, so that their predictions stay separate"
            )
        connection.execute(
            """INSERT INTO driftline.model_definition (model, version, features_hash)
               SELECT v.model, v.version, %(now)s FROM driftline.model_version AS v
                WHERE v.model = %(model)s AND v.version = %(version)s
                  AND %(now)s <> coalesce(
                        (SELECT d.features_hash FROM driftline.model_definition AS d
                          WHERE d.model = v.model AND d.version = v.version
                          ORDER BY d.since DESC LIMIT 1),
                        v.features_hash)""",
            {"model": version.model, "version": version.version, "now": version.features_hash},
        )
        added = connection.execute(
            """INSERT INTO driftline.reference (model, version, binning_id, rows, cells, origin,
                                                since, until, block_seconds)
               VALUES (%s, %s, %s, %s, %s, 'registration', %s, %s, %s) ON CONFLICT DO NOTHING""",
            (
                version.model,
                version.version,
                version.binning.id,
                version.reference_rows,
                version.reference,
                *references.covered(version.reference_blocks),
            ),
        )
        if added.rowcount and version.reference_blocks:
            references.add_blocks(
                connection,
                version.model,
                version.version,
                version.binning.id,
                version.reference_blocks,
            )
        if version.reference_sample is not None:
            reference_sample.store(
                connection, version.model, version.version, version.reference_sample
            )
