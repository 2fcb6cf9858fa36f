"""Limits of time."""

import ctypes
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

AGAIN = 1.0  # seconds after which it is raised once more, as a library may catch it


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise TimeoutError after some seconds, in any thread; what runs outside of Python ends first."""
    main = threading.current_thread() is threading.main_thread()
    stop = (_by_signal if main and hasattr(signal, "setitimer") else _by_thread)(seconds)
    try:
        try:
            yield
        finally:
            stop()
    finally:
        stop()  # the first may have been interrupted


def _by_signal(seconds: float) -> Callable[[], None]:
    """Of the main thread, also where it waits; returns what ends it."""

    def late(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)

    def stop() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    return stop


def _by_thread(seconds: float) -> Callable[[], None]:
    """Of any thread, raised by another one before its next step of Python; returns what ends it."""
    here, ended, guard = ctypes.c_ulong(threading.get_ident()), threading.Event(), threading.RLock()
    put = ctypes.pythonapi.PyThreadState_SetAsyncExc

    def watch() -> None:
        wait = seconds
        while not ended.wait(wait):
            with guard:
                if not ended.is_set():
                    put(here, ctypes.py_object(TimeoutError))
            wait = AGAIN

    threading.Thread(target=watch, daemon=True).start()

    def stop() -> None:
        with guard:
            ended.set()
        put(here, None)  # one that is not raised yet is none

    return stop
