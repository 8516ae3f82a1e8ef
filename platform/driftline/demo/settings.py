"""The demo's driftline.yaml: real flights, replayed from April on."""

import os
from pathlib import Path
from typing import Any

import yaml

from driftline.demo.flights import FIELDS
from driftline.private_files import private_folder

MODEL = "flights-late"
EVENTS, SCORED, LABELS = "flights", "flights-scored", "flights-labels"
PARTITIONS = 2

_QUERY = """\
SELECT *,
  COUNT(*) OVER last_hour AS origin_departures_1h,
  AVG(dep_delay) OVER last_hour AS origin_mean_delay_1h
FROM events
WINDOW last_hour AS (PARTITION BY origin ORDER BY event_time
  RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW)
"""


def write(path: Path, state: Path, *, paced: bool, flights: int | None = None) -> None:
    """Write the config.

    Parameters:
        state: the folder of the local services.
        paced: events arrive at a rate, so latency matters; else as fast as possible.
        flights: how many there will be, None for all: short streams have less evidence.
    """
    evidence = 5_000 if flights is None else min(max(flights // 8, 50), 5_000)
    span = {"since": "2013-01-01", "until": "2014-01-03"}
    config: dict[str, Any] = {
        "state": str(state.resolve()),
        "models": {
            MODEL: {
                "input": {
                    "topic": EVENTS,
                    "event_id": "event_id",
                    "event_time": "time",
                    "fields": dict(FIELDS),
                    "required": ["carrier", "origin", "dest", "hour", "minute"],
                    "accept": span,
                },
                "features": {
                    "sql": {
                        "query": _QUERY,
                        "columns": {"origin_departures_1h": "int", "origin_mean_delay_1h": "float"},
                        "out_of_order": "1 min",
                        # the story holds the stream back: no partition may run ahead after that
                        "idle_timeout": "1 h",
                    },
                    "transform": "driftline.demo.features:transform",
                },
                "registry": {"name": MODEL, "alias": "champion"},
                "output": {"topic": SCORED, "delivery": "exactly_once"},
                "labels": {
                    "topic": LABELS,
                    "event_id": "event_id",
                    "label": "late",
                    "type": "bool",
                    "time": "time",
                    "accept": span,
                },
                "segments": ["origin"],
                # a replay: a day ends when the stream has come to the next one
                "monitors": {"windows": ["1 d"], "clock": "event", "lateness": "10 min"},
                "dashboard": "own",
                "gates": {
                    "evidence_window": "60 d",
                    "agreement": {"min_events": evidence, "tolerance": 0.3, "min_share": 0.9},
                    # a longer training moves the low scores by a fifth, a broken one most of them
                    "scores": {"min_events": evidence, "max_distance": 0.35},
                    "performance": {"metric": "auc", "min_events": evidence // 2, "margin": 0.02},
                },
                "stream": {"latency": "balanced" if paced else "throughput"},
            }
        },
        "flink": {"checkpoint_interval": "5 s"},
    }
    if address := os.environ.get("GRAFANA_URL"):
        config["grafana"] = {"url": address.rstrip("/"), "token": {"env": "GRAFANA_TOKEN"}}
    private_folder(state)
    private_folder(path.parent)
    path.write_text("# written by 'driftline demo'\n" + yaml.safe_dump(config, sort_keys=False))
