"""SIGTERM and SIGINT as flags, so that a training ends between two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any


class Stop(BaseException):
    """Raised by a signal inside `Signals.breakable`."""


class Signals:
    """A context in which SIGTERM and SIGINT set `got` (0 before) instead of ending the process.

    A second SIGINT raises KeyboardInterrupt at once. Outside the main thread nothing is changed.
    """

    def __init__(self) -> None:
        self.got = 0
        self._breakable = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    @contextmanager
    def breakable(self, on: bool = True) -> Iterator[None]:
        """A block that a signal leaves at once by `Stop`; for work that may be repeated."""
        if on and self.got:
            raise Stop
        self._breakable = on
        try:
            yield
        finally:
            self._breakable = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.got and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.got = number
        if self._breakable:
            self._breakable = False
            raise Stop
