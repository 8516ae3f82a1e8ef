"""From where files of versions are downloaded."""

import pytest
from mlflow import MlflowClient

from driftline.errors import RegistryError
from driftline.registry.files.download import require_allowed

CLIENT = MlflowClient("https://mlflow.example:5000")


@pytest.mark.parametrize(
    "place",
    [
        "abfss://fs@account.evil.example/x",
        "abfss://fs@account.dfs.core.windows.net.evil.example/x",
        "abfss://fs@evil.example\\.dfs.core.windows.net/x",
        "abfss://fs@account.blob.core.windows.net/x",
        "wasbs://fs@account.evil.example/x",
        "hdfs://evil.example:8020/x",
        "hdfs:////evil.example/x",
        "mlflow-artifacts:////evil.example/x",
        "mlflow-artifacts://evil.example/x",
        "https://evil.example/x",
        "file:///etc",
        "/etc",
        "r2://bucket@evil.example/x",
    ],
)
def test_no_credentials_go_to_a_host_that_a_version_names(place: str) -> None:
    with pytest.raises(RegistryError, match=r"artifacts at .* are not allowed: serve them"):
        require_allowed(CLIENT, place)


@pytest.mark.parametrize(
    "place",
    [
        "s3://bucket/x",
        "s3://bucket//x",
        "gs://bucket/x",
        "hdfs:/x",
        "hdfs:///x",
        "abfss://fs@account.dfs.core.windows.net/x",
        "abfss://fs@account.dfs.core.chinacloudapi.cn/x",
        "abfss://fs@account.privatelink.dfs.core.usgovcloudapi.net/x",
        "wasbs://fs@account.blob.core.windows.net/x",
        "mlflow-artifacts:/x",
        "mlflow-artifacts://mlflow.example:5000/x",
        "https://mlflow.example:5000/x",
    ],
)
def test_stores_of_an_operator_are_used(place: str) -> None:
    require_allowed(CLIENT, place)
