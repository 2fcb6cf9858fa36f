"""report.html: one self-contained page with the tables, figures, configuration and environment of a run."""

from __future__ import annotations

import base64
import html
import io
import json
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from genkit.experiment import environment, report
from genkit.experiment.folder import Status
from genkit.experiment.table import cell
from genkit.files import read_yaml, write
from genkit.terminal import plural

CHANGED = 8  # options that the header names
LIMIT = 10_000_000  # bytes of a report that still opens at once and can be mailed

STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --soft: #566473; --line: #dde3ea; --paper: #ffffff; --tint: #f5f7fa;
  --mark: #0b6e99 }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ef; --soft: #a3b0bd; --line: #35404c; --paper: #1a2129;
  --tint: #12171d; --mark: #6cc0e5 } }
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--tint); margin: 0 }
main { max-width: 1120px; margin: 0 auto; padding: 24px 20px 60px }
h1 { font-size: 28px; margin: 8px 0 2px; overflow-wrap: anywhere } h2 { font-size: 20px; margin: 36px 0 8px }
a { color: var(--mark) } .soft { color: var(--soft); margin: 0 }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 14px 0; font-size: 15px }
dt { color: var(--soft) } dd { margin: 0; overflow-wrap: anywhere } dd code { user-select: all }
button { font: inherit; font-size: 13px; margin-left: 8px; cursor: pointer }
figure, .card { background: var(--paper); border: 1px solid var(--line); border-radius: 8px; margin: 16px 0;
  padding: 16px }
.view { overflow-x: auto } .view img { max-width: 100%; display: block; margin: 0 auto; background: #fff;
  border-radius: 4px }
figure:target .view img { max-width: none } .fit { display: none }
figure:target .fit { display: inline } figure:target .full { display: none }
figcaption { color: var(--soft); margin-top: 10px; font-size: 15px }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-size: 14.5px }
.title { font-weight: 600; margin: 0 0 6px; font-size: 15px }
th, td { padding: 4px 12px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }
th { color: var(--soft); font-weight: 600 } th:first-child { text-align: left; position: sticky; left: 0;
  background: var(--paper) } tbody th { font-weight: 400; color: inherit; white-space: normal; min-width: 6em }
td { font-variant-numeric: tabular-nums } td.text { text-align: left; white-space: normal; overflow-wrap: anywhere }
td.best { font-weight: 700; color: var(--mark) }
:focus-visible { outline: 2px solid var(--mark); outline-offset: 2px }
details { margin: 12px 0 } summary { cursor: pointer; font-weight: 600; color: var(--mark) }
"""
COPY = "navigator.clipboard.writeText(this.previousElementSibling.textContent);this.textContent='copied'"


def build(folder: Path, name: str, doc: str) -> Path:
    """Write report.html from what the folder holds, of a run or of a part of one, and return its path."""
    noted, status = report.items(folder), Status(folder).content
    scale = _shrink(
        sum((folder / "figures" / f"{i['name']}.png").stat().st_size for i in noted if i["kind"] == "figure")
    )
    about, _, _ = doc.strip().partition("\n\n")
    tables = [_table(i) for i in noted if i["kind"] == "table"]
    figures = [_figure(folder, i, scale) for i in noted if i["kind"] == "figure"]
    bold = "<p class=soft>Bold: the best of those that are compared; references do not compete.</p>"
    shown = [[k, cell(v)] for k, v in report.results(folder).items()]
    file = folder / "config.yaml"
    options = read_yaml(file) if file.exists() else {}
    settings = {k: v for k, v in options.items() if k != "options"} | options.get("options", {})
    seconds = [[stage, cell(value)] for stage, value in status["seconds"].items()]
    commands = environment.read(folder)
    parts = [
        f"<h1>{html.escape(name)}</h1><p class=soft>{html.escape(' '.join(about.split()))}</p>",
        *([_made(folder, options, status, commands)] if options else []),
        *([bold] if any(i.get("best") for i in noted) else []),
        *tables,
        *(["<h2 id=figures>Figures</h2>", *figures] if figures else []),
        "<h2>Details</h2>",
        _fold("All results", shown),
        _fold("Configuration", [[k, _text(v)] for k, v in settings.items()]),
        _fold("Stages (seconds)", seconds),
        *(_fold(f"Environment of command {i}", _told(one)) for i, one in enumerate(commands, 1)),
    ]
    page = (
        f"<!doctype html><html lang=en><meta charset=utf-8>"
        f"<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<title>{html.escape(name)}</title><style>{STYLE}</style><main>{''.join(parts)}</main></html>"
    )
    write(folder / "report.html", page)
    return folder / "report.html"


def _made(folder: Path, options: dict[str, Any], status: dict[str, Any], commands: Sequence[dict[str, Any]]) -> str:
    """How a run was made: by its first command, and on the devices of that."""
    first = commands[0] if commands else {}
    seconds = sum(v for v in status["seconds"].values() if isinstance(v, (int, float)))
    facts = {
        "experiment": f"{options.get('experiment')}, preset {options.get('preset')}",
        "changed": _changed(options),
        "data": _data(options.get("options")) or "made by the experiment",
        "seed": options.get("seed"),
        "versions": _versions(first, str(options.get("experiment"))),
        "time": f"{_moment(str(status.get('begun') or status.get('time', '')))}, {seconds:.0f} s",
        "devices": first.get("devices", ""),
        "memory": f"{max((_size(one) for one in commands), default=0):.3g} GB at most",
    }
    rows = [f"<dt>{key}</dt><dd>{html.escape(str(value))}</dd>" for key, value in facts.items() if value != ""]
    command = html.escape(_command(folder, first))
    rows.append(
        f"<dt>command</dt><dd><code>{command}</code>"
        f"<button type=button aria-label='copy the command' onclick=\"{COPY}\">copy</button></dd>"
    )
    return f"<dl>{''.join(rows)}</dl>"


def _text(value: Any) -> str:
    """The value of an option."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _moment(text: str) -> str:
    """A time as one reads it; what is none stays as it is."""
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return text


def _command(folder: Path, first: Mapping[str, Any]) -> str:
    """The command line that made a run; of one that Python made, the line that repeats it."""
    words = first.get("command")
    if isinstance(words, list) and words:
        return shlex.join(["genkit", *map(str, words)])
    return shlex.join(["genkit", "run", f"{folder}/config.yaml"])


def _data(options: Any) -> str:
    """The data sets of a run."""
    chosen = {k: v for k, v in options.items() if k.split(".")[-1] == "data"} if isinstance(options, dict) else {}
    return ", ".join(_text(v) if k == "data" else f"{k}: {_text(v)}" for k, v in chosen.items())


def _changed(content: Mapping[str, Any]) -> str:
    """The options that are not as the preset has them."""
    keys, options = content.get("changed"), content.get("options")
    if not isinstance(keys, list) or not isinstance(options, dict):
        return ""
    said = [f"{key} {_text(options[key])}" for key in map(str, keys) if key in options]
    more = f"; {plural(len(said) - CHANGED, 'option')} more, as Configuration tells" if len(said) > CHANGED else ""
    return ", ".join(said[:CHANGED]) + more


def _versions(first: Mapping[str, Any], experiment: str) -> str:
    """Those of genkit, the plugin and jax, on which numbers depend most."""
    versions = first.get("versions")
    if not isinstance(versions, dict):
        return ""
    wanted = ("genkit-jax", f"genkit-{experiment.partition('.')[0]}", "jax")
    said = [f"{name} {versions[name]}" for name in wanted if name in versions]
    commit = [f"commit {first['git']}"] if first.get("git") else []
    return ", ".join([*said, f"Python {first.get('python', '?')}", *commit])


def _size(machine: dict[str, Any]) -> float:
    size = machine.get("peak_memory_gb")
    return size if isinstance(size, float) else 0.0


def _told(machine: dict[str, Any]) -> list[list[str]]:
    return [[k, json.dumps(v)] for k, v in machine.items()]


def _shrink(size: int) -> float:
    """By how much to scale figures so that the page stays under its limit (base64 costs a third)."""
    budget = 0.7 * LIMIT / 1.34
    return 1.0 if size <= budget else (budget / size) ** 0.5


def _figure(folder: Path, item: dict[str, Any], scale: float) -> str:
    """A figure, with a link that shows it in its full size and one that takes it back."""
    data = (folder / "figures" / f"{item['name']}.png").read_bytes()
    if scale < 1:
        from PIL import Image

        picture = Image.open(io.BytesIO(data))
        picture = picture.resize((int(picture.width * scale), int(picture.height * scale)))
        small = io.BytesIO()
        picture.save(small, "PNG", optimize=True)
        data = small.getvalue()
    source = base64.b64encode(data).decode()
    name, caption = html.escape(item["name"]), html.escape(item["caption"])
    alt = html.escape(item.get("alt") or item["caption"])
    return (
        f"<figure id='figure-{name}'><div class=view tabindex=0 role=region aria-label='{name}'>"
        f"<img alt='{alt}' src='data:image/png;base64,{source}'></div><figcaption>{caption} "
        f"<a class=full href='#figure-{name}'>Full size</a><a class=fit href='#figures'>Fit</a></figcaption></figure>"
    )


def _table(item: dict[str, Any]) -> str:
    best = {tuple(place) for place in item.get("best", []) if isinstance(place, list)}
    links = {(i, j): quote(file) for i, j, file in item.get("links", [])}
    head = "".join(f"<th scope=col>{html.escape(h)}</th>" for h in item["header"])

    def text(i: int, j: int, content: str) -> str:
        shown = html.escape(content)
        return f"<a href='{links[i, j]}'>{shown}</a>" if (i, j) in links else shown

    rows = (
        f"<tr><th scope=row>{text(i, 0, row[0])}</th>"
        + "".join(f"<td{' class=best' * ((i, j) in best)}>{text(i, j, c)}</td>" for j, c in enumerate(row[1:], 1))
        + "</tr>"
        for i, row in enumerate(item["rows"])
        if row
    )
    return _scrolled(item["caption"] or item["name"], f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>")


def _fold(title: str, rows: list[list[str]]) -> str:
    body = "".join(f"<tr><th scope=row>{html.escape(a)}</th><td class=text>{html.escape(b)}</td></tr>" for a, b in rows)
    if not rows:
        return ""
    return f"<details><summary>{title}</summary>{_scrolled('', f'<tbody>{body}</tbody>', title)}</details>"


def _scrolled(caption: str, content: str, label: str = "") -> str:
    """A table that keyboards can scroll where it is wider than the page."""
    shown, name = f"<p class=title>{html.escape(caption)}</p>" if caption else "", html.escape(caption or label)
    return (
        f"<div class=card>{shown}<div class=scroll tabindex=0 role=region aria-label='{name}'>"
        f"<table aria-label='{name}'>{content}</table></div></div>"
    )
