"""The demo: real flights through the real job, ending with an audit."""

import json
import logging
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from psycopg import sql
from rich.console import Console

from driftline import names
from driftline.audit import AuditReport, audit
from driftline.cli.audit_report import rendered
from driftline.cli.demo import incidents, live
from driftline.config import Config, load
from driftline.demo import flights, in_grafana, replay, settings, train
from driftline.demo.story import Candidate, Story, TrainingData
from driftline.registry import aliases
from driftline.registry.client import connect as connect_registry
from driftline.registry.register import Training, register
from driftline.registry.versions import Version
from driftline.services.stack import Stack
from driftline.storage.connection import connect
from driftline.storage.forget import forget
from driftline.storage.tables.schema import migrate
from driftline.streaming.flink.check import check_ready
from driftline.streaming.flink.supervise import Supervisor
from driftline.streaming.history.history import features_of_history
from driftline.streaming.scoring.features import FeatureDefinition

TRAINED_FROM = datetime(2013, 1, 1, tzinfo=UTC)
REPLAYED_FROM = datetime(2013, 4, 1, tzinfo=UTC)
REPLAYED_UNTIL = datetime(2014, 1, 3, tzinfo=UTC)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Demo:
    """One run of the demo.

    Parameters:
        state: folder of the local services and of all that the demo writes.
        console: where to print progress and results.
        events: number of flights to replay; None for all from April on.
        rate: events per second; None for no limit.
        seed: of the training, and of which events are repeated or malformed.
        keep_running: leave the services running.
    """

    state: Path
    console: Console
    events: int | None = None
    rate: float | None = None
    seed: int = 0
    keep_running: bool = False

    @property
    def config_path(self) -> Path:
        """The `driftline.yaml` that the demo writes."""
        return self.state / "demo" / "driftline.yaml"

    def run(self) -> AuditReport:
        """Run the demo; services that it started are always stopped again."""
        settings.write(
            self.config_path, self.state, paced=self.rate is not None, flights=self.events
        )
        config = load(self.config_path)
        check = FeatureDefinition(config.model(settings.MODEL))
        with self._services() as stack:
            version, story = self._prepare(config, check, stack)
            self._say(f"model {version.name} version {version.version} is champion")
            progress = live.stream(
                self.console, config, self._supervisor(config), self._replay(config, story), story
            )
            with self.console.status("auditing every record"):
                report = audit(config, settings.MODEL, deep=True, complete=True)
            with self.console.status("comparing every day with January to March"):
                detected = incidents.judge(config)
            incident_table = incidents.summary(detected, config)
            grafana_url = in_grafana.bring(config, self._say) if config.grafana.url else None
        self.console.print(live.summary(progress))
        self.console.print(incident_table)
        self.console.print(rendered(report))
        if grafana_url is not None:
            self.console.print(f"in Grafana: {grafana_url}", soft_wrap=True, highlight=False)
        return report

    @contextmanager
    def _services(self) -> Iterator[Stack]:
        """The local services; those that already ran keep running."""
        stack = Stack(self.state)
        running = {service.name for service in stack.status() if service.state != "stopped"}
        started = [name for name in stack.services if name not in running]
        try:
            yield stack
        finally:
            if started and not self.keep_running:
                self._say(f"stopping {', '.join(started)}")
                stack.down(started)

    def _prepare(
        self, config: Config, definition: FeatureDefinition, stack: Stack
    ) -> tuple[Version, Story]:
        with (
            self.console.status("starting") as status,
            # the features need no service: both start at once
            self._beside(config, definition) as features,
        ):
            stack.up(progress=lambda name, text: status.update(f"{name}: {text}"))
            for service in stack.status():
                self._say(f"{service.name} {service.version} at {service.address}")
            status.update("migrating the schema")
            migrate(config, {settings.MODEL: definition.schema})
            self._reset(config)
            status.update("generating features of January to March")
            table = features.result()
            self._say(f"{len(table):,} flights of January to March as training data")
            status.update("training")
            version, story = self._versions(config, definition, table)
        check_ready(config, settings.MODEL)
        return version, story

    def _reset(self, config: Config) -> None:
        """Forget an earlier replay: this one brings the same events again."""
        with connect(config.local_postgres(), "migrate") as connection:
            forget(connection, settings.MODEL)
            for table in ("promotion", "version_event", "quarantine"):
                connection.execute(
                    sql.SQL("DELETE FROM {} WHERE model = %s").format(
                        sql.Identifier(names.SCHEMA, table)
                    ),
                    [settings.MODEL],
                )
        replay.make_topics(config.local_kafka())
        shutil.rmtree(self.state / "checkpoints" / settings.MODEL, ignore_errors=True)

    @contextmanager
    def _beside(self, config: Config, definition: FeatureDefinition) -> Iterator[Future[pa.Table]]:
        """Training features, generated in the background; an interrupt stops that, too."""
        stop = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            try:
                yield pool.submit(self._training_features, config, definition, stop)
            finally:
                stop.set()

    def _training_features(
        self, config: Config, definition: FeatureDefinition, stop: threading.Event
    ) -> pa.Table:
        import pyarrow.parquet as pq

        target = self.state / "demo" / f"features-{definition.digest[:16]}.parquet"
        if target.is_file():
            return pq.read_table(target)
        lines = self.state / "demo" / "history.jsonl"
        history = flights.events(TRAINED_FROM, REPLAYED_FROM)
        lines.write_bytes(b"\n".join(flights.to_json_lines(history)) + b"\n")
        partial = target.with_suffix(".partial")
        table = features_of_history(
            self.config_path, config, settings.MODEL, lines, partial, stop=stop
        )
        partial.rename(target)
        return table

    def _versions(
        self, config: Config, definition: FeatureDefinition, table: pa.Table
    ) -> tuple[Version, Story]:
        """The champion, and what happens to it; trained once for the same data and seed."""
        note = self.state / "demo" / "trained.json"
        inputs = {"definition": definition.digest, "seed": self.seed, "rows": len(table)}
        trained = json.loads(note.read_text()) if note.is_file() else {}
        if trained.get("wanted") != inputs:
            trained = {"wanted": inputs, "metrics": self._train(definition, table)}
            note.write_text(json.dumps(trained))
        features = table.select(definition.schema.names).combine_chunks()
        candidates = {
            name: Candidate(
                self.state / "demo" / name,
                Training(definition.digest, {"seed": str(self.seed), "model": name}, metrics),
            )
            for name, metrics in trained["metrics"].items()
        }
        champion = candidates["first"]
        version = register(
            config.local_mlflow(),
            settings.MODEL,
            champion.path,
            features,
            training=champion.training,
            times=table[names.EVENT_TIME],
        )
        client = connect_registry(config.local_mlflow())
        aliases.set_alias(
            client, settings.MODEL, names.CHAMPION, version.version
        )  # as at the start
        for alias in aliases.read_aliases(client, settings.MODEL):
            if aliases.is_shadow(alias):  # of a run that was interrupted
                aliases.delete_alias(client, settings.MODEL, alias)
        reference = TrainingData(features, table[names.EVENT_TIME])
        return version, Story(
            config, self._say, reference, candidates["better"], candidates["broken"]
        )

    def _train(self, definition: FeatureDefinition, table: pa.Table) -> dict[str, dict[str, float]]:
        """A first model, one that trained for longer, and the latter with inverted scores."""
        labels = flights.labels(TRAINED_FROM, REPLAYED_FROM).select(["event_id", "late"])
        joined = table.join(labels, "event_id", join_type="inner").sort_by("event_time")
        features = joined.select(definition.schema.names).combine_chunks()
        metrics = {}
        for name, epochs in (("first", 1), ("better", 4)):
            folder = self._emptied(name)
            late = joined["late"].to_numpy()
            trained = train.train(features, late, folder, seed=self.seed, epochs=epochs)
            metrics[name] = dict(trained.metrics)
        self._say(f"trained: AUC {metrics['first']['auc']:.3f} on the last weeks of March")
        train.turn_upside_down(self.state / "demo" / "better", self._emptied("broken"))
        return {**metrics, "broken": {}}

    def _emptied(self, name: str) -> Path:
        folder = self.state / "demo" / name
        shutil.rmtree(folder, ignore_errors=True)
        return folder

    def _supervisor(self, config: Config) -> Supervisor:
        return Supervisor(self.config_path, config, settings.MODEL, restore="none")

    def _replay(self, config: Config, story: Story) -> live.Replayed:
        events = flights.events(REPLAYED_FROM, REPLAYED_UNTIL).slice(0, self.events)
        labels = flights.labels(REPLAYED_FROM, REPLAYED_UNTIL)
        if self.events is not None:
            labels = labels.join(events.select(["event_id"]), "event_id", join_type="inner")
            labels = labels.sort_by("time")
        messages = replay.messages(
            flights.to_json_lines(events),
            events["time"].to_numpy(),
            flights.to_json_lines(labels),
            labels["time"].to_numpy(),
            self.seed,
        )
        held = story.held(messages, len(events))
        return live.Replayed(replay.Replay(config.local_kafka(), self.rate), held, len(events))

    def _say(self, text: str) -> None:
        self.console.print(f"[dim]·[/dim] {text}", highlight=False)
