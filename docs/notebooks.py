"""A notebook as a page of the manual, with what its cells show."""

from __future__ import annotations

import html
import re
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from nbclient import NotebookClient


@cache
def executed(path: Path) -> Any:
    """The notebook with its outputs, from a clean kernel and an empty folder; once in a process."""
    notebook = nbformat.read(path, as_version=4)
    with TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": folder}}).execute()
    return notebook


def page(notebook: Any) -> str:
    """Markdown of an executed notebook; pictures are in the page itself."""
    parts = []
    for cell in notebook.cells:
        parts.append(fenced("python", cell.source) if cell.cell_type == "code" else cell.source)
        parts += [shown(one) for one in cell.get("outputs", []) if one.get("name") != "stderr"]  # of this machine
    return "\n\n".join(parts) + "\n"


def shown(output: Any) -> str:
    """What a cell has shown, in the richest form that a page can hold."""
    if output.output_type == "stream":
        return fenced("text", output.text)
    if output.output_type == "error":
        return fenced("text", "\n".join(output.traceback))
    text = output.data.get("text/plain", "")
    if "image/png" in output.data:
        source = "".join(output.data["image/png"].split())
        return f'<img alt="{html.escape(text)}" src="data:image/png;base64,{source}">'
    if "text/html" in output.data:
        return f"<div>{output.data['text/html']}</div>"
    return fenced("text", text)


def fenced(language: str, text: str) -> str:
    """A block of code, without the colours of a terminal."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text).strip("\n")
    return f"````{language}\n{plain}\n````"
