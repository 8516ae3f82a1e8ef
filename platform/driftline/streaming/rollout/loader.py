"""Prepares versions, either while the caller waits or in the background, one at a time."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

Prepared = TypeVar("Prepared")


class VersionLoader(Generic[Prepared]):
    """Prepares versions, which takes long, for a thread that polls.

    So a shadow that hangs in its preflight check delays no promotion and no rollback.

    Parameters:
        prepare: prepares a version; called from several threads.

    >>> VersionLoader(str).load(2)
    '2'
    """

    def __init__(self, prepare: Callable[[int], Prepared]) -> None:
        self._prepare = prepare
        self._pending: dict[int, Future[Prepared]] = {}
        self._turn = threading.Lock()

    def load(self, version: int) -> Prepared:
        """Prepare a version now, or wait if that has already begun in the background.

        Raises:
            Exception: the error of `prepare`.
        """
        pending = self._pending.pop(version, None)
        if pending is None or pending.cancel():
            return self._prepare(version)
        return pending.result()

    def poll(self, version: int) -> Prepared | None:
        """A version that was prepared in the background, once; None until it is ready.

        Raises:
            Exception: the error of `prepare`.
        """
        pending = self._pending.get(version)
        if pending is None:
            pending = self._pending[version] = Future()
            background = threading.Thread(target=self._run, args=(version, pending), daemon=True)
            background.start()
        if not pending.done():
            return None
        del self._pending[version]
        return pending.result()

    def cancel(self) -> None:
        """Cancel what has not begun, and drop the result of what has."""
        for pending in self._pending.values():
            pending.cancel()
        self._pending.clear()

    def _run(self, version: int, pending: Future[Prepared]) -> None:
        with self._turn:
            if not pending.set_running_or_notify_cancel():
                return
            try:
                pending.set_result(self._prepare(version))
            except BaseException as error:
                pending.set_exception(error)
