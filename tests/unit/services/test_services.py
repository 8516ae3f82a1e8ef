"""What the three services share, without starting them."""

from pathlib import Path

import pytest

from driftline.errors import ServiceError
from driftline.services import timescaledb
from driftline.services.process import Account
from driftline.services.service import Place, Service
from driftline.services.stack import SERVICES

PORTS = {"timescaledb": 1, "kafka": 2, "kafka_controller": 3, "mlflow": 4}
DATA = {"timescaledb": "data", "kafka": "data", "mlflow": "auth.db"}

every_service = pytest.mark.parametrize("service", SERVICES.values(), ids=list(SERVICES))


def ignore(_: str) -> None:
    pass


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "service").mkdir()
    return Place(tmp_path / "service", tmp_path / "secrets", PORTS)


@every_service
def test_data_whose_password_is_lost_are_refused(service: Service, place: Place) -> None:
    (place.folder / DATA[service.name]).mkdir()
    with pytest.raises(ServiceError, match=r"can't open '.*': its password file '.*' is missing"):
        service.prepare(place, ignore)


@every_service
def test_a_service_that_is_down_does_not_answer(service: Service, place: Place) -> None:
    with pytest.raises(Exception, match=r"refused|transport|Transport"):
        service.ping(place)


def test_root_runs_postgresql_as_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert timescaledb.ordinary_account() is None
    monkeypatch.setattr("os.geteuid", lambda: 0)
    account = timescaledb.ordinary_account()
    assert isinstance(account, Account)
    assert account.uid > 0


def test_a_machine_without_ordinary_users_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("pwd.getpwnam", nobody)
    with pytest.raises(ServiceError, match="can't run PostgreSQL as root, and there is no user"):
        timescaledb.ordinary_account()
