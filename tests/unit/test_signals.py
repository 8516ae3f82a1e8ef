"""What runs until Ctrl-C or SIGTERM hears each of them, wherever it hits."""

import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator

import pytest

from driftline.signals import repeat_dropped_signals, stops_on_signals

NUMBERS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


class _Target:
    """What a weak reference can point at."""


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """As a command has them."""
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    yield
    signal.signal(signal.SIGTERM, before)


def _in_a_callback(number: signal.Signals) -> None:
    """What is raised here, Python drops."""
    target = _Target()
    watched = weakref.ref(target, lambda _: signal.raise_signal(number))
    del target
    assert watched() is None


@pytest.mark.parametrize("raised", [signal.raise_signal, _in_a_callback])
@NUMBERS
def test_a_stop_is_not_lost(
    number: signal.Signals, raised: Callable[[signal.Signals], None]
) -> None:
    """The way of jobs and runners: nothing is raised, so that nothing is dropped."""
    heard: list[int] = []
    with stops_on_signals(heard.append):
        raised(number)
    assert heard == [number]


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_what_is_dropped_comes_again(
    number: signal.Signals, raised: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For commands that end by themselves, and where an exception is all there is."""
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    repeat_dropped_signals()
    with pytest.raises(raised):  # noqa: PT012
        _in_a_callback(number)
        threading.Event().wait(60)


def test_handlers_are_put_back() -> None:
    """What surrounds it hears its own signals again."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with stops_on_signals(lambda _: None):
        pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
