"""Makes versions ready: at once for who waits, else in the background, one at a time."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

Made = TypeVar("Made")


class Loader(Generic[Made]):
    """What takes long to make, for one thread that asks.

    A shadow that hangs in its trial so holds up no promotion and no roll-back.

    Parameters:
        make: makes a version; called from several threads.

    >>> Loader(str).at_once(2)
    '2'
    """

    def __init__(self, make: Callable[[int], Made]) -> None:
        self._make = make
        self._coming: dict[int, Future[Made]] = {}
        self._turn = threading.Lock()

    def at_once(self, version: int) -> Made:
        """Make it now, or wait for it where the background is at it already.

        Raises:
            Exception: what making it raised.
        """
        coming = self._coming.pop(version, None)
        if coming is None or coming.cancel():
            return self._make(version)
        return coming.result()

    def when_ready(self, version: int) -> Made | None:
        """What was made in the background, once; None until then.

        Raises:
            Exception: what making it raised.
        """
        coming = self._coming.get(version)
        if coming is None:
            coming = self._coming[version] = Future()
            background = threading.Thread(target=self._run, args=(version, coming), daemon=True)
            background.start()
        if not coming.done():
            return None
        del self._coming[version]
        return coming.result()

    def forget(self) -> None:
        """Nobody asks for what is in the background any more."""
        for coming in self._coming.values():
            coming.cancel()
        self._coming.clear()

    def _run(self, version: int, coming: Future[Made]) -> None:
        with self._turn:
            if not coming.set_running_or_notify_cancel():
                return
            try:
                coming.set_result(self._make(version))
            except BaseException as error:
                coming.set_exception(error)
