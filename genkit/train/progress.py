"""What a person sees of a training: a bar in a terminal or notebook, elsewhere a line every ten seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from genkit import notebook, terminal

SECONDS = 10.0


class Show:
    """A progress display of `steps` steps, used as a context; silent unless `on`. `log` gets its lines in any case."""

    def __init__(
        self,
        name: str,
        steps: int,
        done: int = 0,
        on: bool = True,
        console: Console | None = None,
        log: Callable[[str], None] = lambda line: None,
    ):
        self.name, self.steps, self.on, self.log = name, steps, on, log
        self.console = console or terminal.console(stderr=True)
        self._begin, self._first = time.perf_counter(), done
        self._start, self._last = self._begin, None
        self._said = self._drawn = self._begin
        self._bar: Progress | None = None
        self._line = notebook.Line() if on and self.console.is_jupyter else None
        if on and not self._line and self.console.is_terminal:
            columns = [
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                TextColumn("{task.fields[note]}", markup=False),
                TimeRemainingColumn(),
            ]
            self._bar = Progress(*columns, console=self.console, transient=True, auto_refresh=False)
            self._task = self._bar.add_task(name, total=steps, completed=done, note="")

    def __enter__(self) -> Show:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()
        if kind is None and self._last is not None:
            step, loss = self._last
            if self._line:
                self._line.show(notebook.bar(self.name, step, self.steps, ""))
            took = f"done in {time.perf_counter() - self._start:.1f} s"
            self.say(took + ("" if loss is None else f", loss {loss:.4g}"))

    def say(self, text: str) -> None:
        """A line of its own."""
        self._say(text, self.on)

    def _say(self, text: str, shown: bool) -> None:
        line = f"{self.name}: {text}"
        if shown:
            self.console.print(line)
        self.log(line)

    def restart(self, done: int) -> None:
        """Begin to measure speed here, after compilation."""
        self._begin, self._first = time.perf_counter(), done

    def update(self, step: int, loss: float | None) -> None:
        """Called after every step; draws four times a second at most."""
        now, self._last = time.perf_counter(), (step, loss)
        if now - self._drawn < 0.25:
            return
        self._drawn = now
        speed = (step - self._first) / max(now - self._begin, 1e-9)
        note = f"{speed:.3g} steps/s" + ("" if loss is None else f"  loss {loss:.4g}")
        if self._bar:
            self._bar.update(self._task, completed=step, note=note, refresh=True)
        if self._line:
            self._line.show(notebook.bar(self.name, step, self.steps, note))
        if now - self._said >= SECONDS:
            self._said = now
            left = (self.steps - step) / max(speed, 1e-9)
            text = f"step {step}/{self.steps}  {note}  {left:.0f} s left"
            self._say(text, self.on and not self._bar and not self._line)
