"""Notebooks: how objects, progress and errors look there. Text of users is escaped."""

from __future__ import annotations

import html
import linecache
import traceback
from collections.abc import Mapping
from typing import Any


class Line:
    """A line of HTML below a cell, which changes as often as it is shown again."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, text: str) -> None:
        """Put `text`, which is HTML, in place of what stood there."""
        from IPython.display import HTML, display  # pyright: ignore[reportMissingImports]

        if self._handle is None:
            self._handle = display(HTML(text), display_id=True)
        else:
            self._handle.update(HTML(text))


def bar(name: str, done: int, of: int, note: str) -> str:
    """HTML of how far something is."""
    about = f"{name}  {done}/{of}  {note}"
    return f"<progress value='{done}' max='{of}'></progress> <code>{html.escape(about)}</code>"


def card(title: str, facts: Mapping[str, Any]) -> str:
    """HTML of an object: its title and a table of what is to be known of it."""
    rows = (
        f"<tr><th scope=row style='text-align: left'>{html.escape(name)}</th>"
        f"<td style='text-align: left'>{html.escape(str(value))}</td></tr>"
        for name, value in facts.items()
    )
    return f"<table><caption style='text-align: left'><b>{html.escape(title)}</b></caption>{''.join(rows)}</table>"


def told(error: BaseException) -> list[str]:
    """An error as a notebook shows it: the last line of its own cells that led there, and the message."""
    lines = [f"{type(error).__name__}: {error}"]
    own = [(f, at) for f, at in traceback.walk_tb(error.__traceback__) if f.f_globals.get("__name__") == "__main__"]
    if own:
        frame, at = own[-1]
        source = linecache.getline(frame.f_code.co_filename, at).strip()
        lines.insert(0, f"line {at}: {source}\n")
    return lines
