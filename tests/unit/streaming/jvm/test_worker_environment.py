"""Secrets reach workers by a private file, not by the environment that Flink logs."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.environment import without_secrets
from driftline.streaming.jvm import worker_environment


@given(st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,20}", fullmatch=True), st.text()))
def test_only_known_variables_are_kept(environment: dict[str, str]) -> None:
    remaining = without_secrets({**environment, "PG_PASSWORD": "secret", "PATH": "/bin"})
    assert remaining["PATH"] == "/bin"
    assert "secret" not in [remaining[name] for name in remaining.keys() - environment.keys()]
    assert without_secrets(remaining) == remaining
    assert set(without_secrets(environment, list(environment))) == set(environment)


@pytest.mark.parametrize(
    "name",
    [
        *("PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "FLINK_STORE_PASSWORD", "GRAFANA_TOKEN"),
        *("http_proxy", "HTTPS_PROXY", "HADOOP_CREDSTORE_PASSWORD", "MLFLOW_TRACKING_TOKEN"),
    ],
)
def test_what_holds_secrets_is_not_kept(name: str) -> None:
    assert without_secrets({name: "secret"}) == {}


def test_a_worker_takes_over_what_its_own_environment_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PG_PASSWORD", "secret")
    monkeypatch.setenv("PATH", "/of/the/command")
    variables = worker_environment.save_for_workers(tmp_path)
    (path,) = map(Path, variables.values())
    assert path.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(os, "environ", {**variables, "PATH": "/of/the/worker"})
    worker_environment.complete_environment()
    assert os.environ["PG_PASSWORD"] == "secret"
    assert os.environ["PATH"] == "/of/the/worker"


def test_without_a_file_nothing_is_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"A": "1"})
    worker_environment.complete_environment()
    assert os.environ == {"A": "1"}
