"""The terminal: what users and files say is text there, never markup."""

import os
import sys
from typing import Any

from rich.console import Console


class Terminal(Console):
    """A console that is silent once its reader has gone, as in ``genkit compare a b | head -1``; the work goes on."""

    def on_broken_pipe(self) -> None:
        """Print nothing more."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def console(**options: Any) -> Console:
    """A console that prints text as it is: ``t2m [degC]`` and ``:smile:`` stay what they are."""
    return Terminal(markup=False, emoji=False, highlight=False, **options)


def is_watched() -> bool:
    """Whether a person looks at what is printed: in a terminal or a notebook."""
    screen = console()
    return screen.is_terminal or screen.is_jupyter


def plural(n: int, one: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{n} {one}" if n == 1 else f"{n} {one}s"
