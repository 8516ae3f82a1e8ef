"""Versions that are made ready at once and in the background."""

import threading
import time

import pytest

from driftline.errors import RegistryError
from driftline.streaming.rollout.loader import VersionLoader


class Making:
    """Makes each version when it may, and remembers the order."""

    def __init__(self) -> None:
        self.may = {number: threading.Event() for number in (1, 2, 3)}
        self.begun: list[int] = []

    def __call__(self, version: int) -> str:
        self.begun.append(version)
        assert self.may[version].wait(30)
        if version == 3:
            raise RegistryError("3 is broken")
        return f"v{version}"


@pytest.fixture
def making() -> Making:
    return Making()


def until_ready(loader: VersionLoader[str], version: int) -> str:
    while (loaded := loader.poll(version)) is None:
        time.sleep(0.01)
    return loaded


def test_what_hangs_in_the_background_holds_up_nobody_who_waits(making: Making) -> None:
    loader = VersionLoader(making)
    assert loader.poll(1) is None
    assert loader.poll(2) is None
    making.may[2].set()
    assert loader.load(2) == "v2"  # its turn had not come
    making.may[1].set()
    assert until_ready(loader, 1) == "v1"
    assert making.begun == [1, 2]


def test_who_waits_for_what_the_background_is_at_gets_that(making: Making) -> None:
    loader = VersionLoader(making)
    assert loader.poll(1) is None
    while not making.begun:
        time.sleep(0.01)
    threading.Timer(0.1, making.may[1].set).start()
    assert loader.load(1) == "v1"
    assert making.begun == [1]


def test_what_goes_wrong_is_raised_once_for_who_asks(making: Making) -> None:
    loader = VersionLoader(making)
    making.may[3].set()
    with pytest.raises(RegistryError, match="3 is broken"):
        until_ready(loader, 3)
    with pytest.raises(RegistryError, match="3 is broken"):
        loader.load(3)
    assert making.begun == [3, 3]


def test_what_is_forgotten_is_begun_again_when_it_is_asked_for(making: Making) -> None:
    loader = VersionLoader(making)
    assert loader.poll(1) is None
    assert loader.poll(2) is None
    loader.cancel()
    for may in making.may.values():
        may.set()
    assert until_ready(loader, 2) == "v2"
    assert making.begun == [1, 2]
