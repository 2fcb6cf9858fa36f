"""SIGINT and SIGTERM as a flag, which work reads where it can stop: between steps, chunks and stages.

Nothing is raised in a handler: what a handler raises inside a callback of C is lost. A handler of Python does not run
either while a program compiles, so in the command line (`watch`) a thread hears of signals through a pipe, and ends
the process where nothing is to be saved, or at the second signal.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from genkit.errors import GenkitError

NUMBERS = (signal.SIGINT, signal.SIGTERM)
RESUME = "--out DIR --resume continues a run"


class Interrupted(GenkitError):
    """A signal arrived; what can be resumed was saved. The command exits with 128 + `signal`."""

    def __init__(self, signal: int, message: str = ""):
        super().__init__(message or f"interrupted by {name_of(signal)}; {RESUME}")
        self.signal = signal


class _State:
    """Of this process: the signal that waits for its reader (0 before), and how many blocks postpone it."""

    got = 0
    postponed = 0


def got() -> int:
    """The number of the signal that arrived inside `postponed`, 0 before."""
    return _State.got


def check(number: int | None = None) -> None:
    """Leave by `Interrupted` if a signal has arrived, or one of this number elsewhere."""
    if number := _State.got if number is None else number:
        raise Interrupted(number)


@contextmanager
def postponed() -> Iterator[None]:
    """A block that a signal does not end: it sets the flag, and the end of the outermost block reads it.

    The block reads it more often, by `check` or `got`. A second signal does what one does outside. Outside the main
    thread nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in NUMBERS}

    def note(number: int, frame: FrameType | None) -> None:
        if not _State.got:
            _State.got = number
        elif callable(handler := before[number]):  # type: ignore
            handler(number, frame)

    outermost = not _State.postponed
    if outermost:
        _State.got = 0
        for number in NUMBERS:
            signal.signal(number, note)
    _State.postponed += 1
    try:
        yield
    finally:
        _State.postponed -= 1
        if outermost:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            waiting, _State.got = _State.got, 0  # what is done next in this process is not stopped by it
    if outermost:
        check(waiting)


def watch() -> None:
    """Let a thread of this process end it: at the first signal outside `postponed`, or at the second."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    for number in NUMBERS:
        signal.signal(number, _wait)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=_forget)  # workers end as they would without this
    threading.Thread(target=_listen, args=(reader,), name="signals", daemon=True).start()


def _forget() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _wait(number: int, frame: FrameType | None) -> None:
    """The handler outside `postponed`; the thread does the rest."""


def _listen(reader: int) -> None:
    heard = 0
    while True:
        for number in os.read(reader, 64):
            if number not in NUMBERS:
                continue
            heard += 1
            if heard > 1 or not _State.postponed:
                leave(number, f"interrupted by {name_of(number)}; {RESUME}")
            _say(f"{name_of(number)}: stops where it can be resumed; a second signal stops at once")


def leave(number: int, message: str) -> Any:
    """End the process with 128 + `number`, whatever it is doing: a compilation would delay its exit by its rest."""
    _say(message)
    os._exit(128 + number)


def name_of(number: int) -> str:
    """SIGINT, SIGTERM."""
    return signal.Signals(number).name


def _say(text: str) -> None:
    try:
        os.write(2, f"genkit: {text}\n".encode())
    except OSError:  # nobody listens
        pass
