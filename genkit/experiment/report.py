"""report.html: one self-contained page with the tables, figures, configuration and environment of a run."""

from __future__ import annotations

import base64
import contextlib
import html
import io
import json
from pathlib import Path
from typing import Any

from genkit.errors import GenkitError
from genkit.experiment import environment
from genkit.experiment.folder import Status
from genkit.files import damaged, read_json, read_text, read_yaml, write, write_json

METRICS_LIMIT = 500_000_000  # bytes
LIMIT = 10_000_000  # bytes of a report that still opens at once and can be mailed

STYLE = """
:root { --ink: #1d2733; --soft: #5d6b7a; --line: #dde3ea; --paper: #ffffff; --tint: #f5f7fa; --mark: #0b6e99; }
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--tint); margin: 0 }
main { max-width: 1120px; margin: 0 auto; padding: 24px 20px 60px }
h1 { font-size: 28px; margin: 8px 0 2px } h2 { font-size: 20px; margin: 36px 0 8px }
.soft { color: var(--soft); margin: 0 }
figure, .card { background: var(--paper); border: 1px solid var(--line); border-radius: 8px; margin: 16px 0;
  padding: 16px } figure img { max-width: 100%; display: block; margin: 0 auto }
figcaption { color: var(--soft); margin-top: 10px; font-size: 15px }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-size: 14.5px }
caption { text-align: left; font-weight: 600; padding-bottom: 6px }
th, td { padding: 4px 12px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }
th:first-child, td:first-child { text-align: left } th { color: var(--soft); font-weight: 600 }
td { font-variant-numeric: tabular-nums } td.text { text-align: left; white-space: normal }
details { margin: 12px 0 } summary { cursor: pointer; font-weight: 600; color: var(--mark) }
"""


def add_figure(folder: Path, name: str, figure: Any, caption: str) -> Path:
    """Save a matplotlib figure as ``figures/<name>.png``, note it for the report, close it; returns the file."""
    import matplotlib.pyplot as plt

    png = io.BytesIO()
    tight = None if figure.get_layout_engine() else "tight"  # a layout leaves no margins, and tight would draw it twice
    figure.savefig(png, format="png", dpi=110, bbox_inches=tight)
    plt.close(figure)
    file = folder / "figures" / f"{name}.png"
    write(file, png.getvalue())
    _add(folder, {"name": name, "kind": "figure", "caption": caption})
    return file


def add_table(folder: Path, name: str, header: list[str], rows: list[list[str]], caption: str) -> None:
    """Note a table for the report."""
    _add(folder, {"name": name, "kind": "table", "caption": caption, "header": header, "rows": rows})


def add_training(folder: Path) -> None:
    """A figure of the losses over the steps, a panel for each training, from metrics.jsonl."""
    phases: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for row in metrics(folder):
        for name, value in row.items():
            if "loss" in name and isinstance(value, float):
                phases.setdefault(row["phase"], {}).setdefault(name, []).append((row["step"], value))
    if not phases:
        return
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    class Plain(LogFormatter):
        """0.9 and not 9e-01; the labels that are left out are those of its base."""

        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""

    columns = min(3, len(phases))
    rows = -(-len(phases) // columns)
    figure = Figure(figsize=(9, 0.4 + 2.8 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (phase, curves) in zip(panels, phases.items(), strict=False):
        for name, points in curves.items():
            steps, values = zip(*points, strict=True)
            smooth = _smooth(values) if len(values) > 40 else values
            axes.plot(steps, smooth, label=name, marker="o" if len(values) < 20 else None, ms=3, lw=1.4)
        axes.set(xlabel="step", title=phase if len(phases) > 1 else "")
        if min(v for points in curves.values() for _, v in points) > 0:
            axes.set_yscale("log")
            for formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
                formatter(Plain(minor_thresholds=(2, 0.5)))
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=9)
    for axes in panels[::columns]:
        axes.set_ylabel("loss")
    for axes in panels[len(phases) :]:
        axes.remove()
    add_figure(folder, "training", figure, "Training loss (running mean) and validation loss by step.")


def metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl. One that is torn is left out, as on resume: a kill may leave it, at the end."""
    file, rows = folder / "metrics.jsonl", []
    for line in read_text(file, METRICS_LIMIT).splitlines() if file.exists() else []:
        with contextlib.suppress(ValueError, RecursionError):
            row = json.loads(line)
            if isinstance(row, dict) and isinstance(row.get("phase"), str) and isinstance(row.get("step"), int):
                rows.append(row)
    return rows


def results(folder: Path) -> dict[str, float | None]:
    """What results.json says."""
    file, mend = folder / "results.json", "delete it; `genkit evaluate RUN` makes it again"
    found = read_json(file, {}, mend)
    if wrong := [name for name, value in found.items() if type(value) not in (int, float, type(None))]:
        raise damaged(file, f"says of {wrong[0]!r} what is no number", mend)
    return found


def items(folder: Path) -> list[dict[str, Any]]:
    """The noted figures and tables."""
    file, mend = folder / "figures" / "index.json", "delete it; `genkit report RUN` makes it again"
    found = read_json(file, [], mend)
    for one in found:
        if not _is_item(one):
            raise damaged(file, f"has an entry that is neither a figure nor a table ({str(one)[:60]})", mend)
        png = folder / "figures" / f"{one['name']}.png"
        if one["kind"] == "figure" and not png.is_file():
            raise GenkitError(f"{png} does not exist; `genkit report RUN` makes it again")
    return found


def _is_item(one: Any) -> bool:
    """Its name is that of a file in its folder, and all else is text."""
    texts = isinstance(one, dict) and all(isinstance(one.get(key), str) for key in ("name", "kind", "caption"))
    if not texts or Path(one["name"]).name != one["name"]:
        return False
    rows = [one.get("header"), *(one.get("rows") or [])]
    return one["kind"] == "figure" or all(
        isinstance(row, list) and all(isinstance(c, str) for c in row) for row in rows
    )


def build(folder: Path, name: str, doc: str) -> Path:
    """Write report.html from what the folder holds, of a run or of a part of one, and return its path."""
    noted, status = items(folder), Status(folder).content
    scale = _shrink(
        sum((folder / "figures" / f"{i['name']}.png").stat().st_size for i in noted if i["kind"] == "figure")
    )
    about, _, _ = doc.strip().partition("\n\n")
    tables = [_table(i) for i in noted if i["kind"] == "table"]
    figures = [_figure(folder, i, scale) for i in noted if i["kind"] == "figure"]
    shown = [[k, cell(v)] for k, v in results(folder).items()]
    file = folder / "config.yaml"
    options = read_yaml(file) if file.exists() else {}
    settings = {k: v for k, v in options.items() if k != "options"} | options.get("options", {})
    seconds = [[stage, cell(value)] for stage, value in status["seconds"].items()]
    commands = environment.read(folder)
    parts = [
        f"<h1>{html.escape(name)}</h1><p class=soft>{html.escape(' '.join(about.split()))}</p>",
        *([_made(options, status, commands)] if options else []),
        *tables,
        *(["<h2>Figures</h2>", *figures] if figures else []),
        "<h2>Details</h2>",
        _fold("All results", shown),
        _fold("Configuration", [[k, str(v)] for k, v in settings.items()]),
        _fold("Stages (seconds)", seconds),
        *(_fold(f"Environment of command {i}", _told(one)) for i, one in enumerate(commands, 1)),
    ]
    page = (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{html.escape(name)}</title><style>{STYLE}</style><main>{''.join(parts)}</main></html>"
    )
    write(folder / "report.html", page)
    return folder / "report.html"


def _made(options: dict[str, Any], status: dict[str, Any], commands: list[dict[str, Any]]) -> str:
    """How a run was made, in one line: on the devices of its first command."""
    first = commands[0] if commands else {}
    said = [f"seed {options.get('seed')}", status.get("time", ""), first.get("devices", "")]
    said.append(f"peak memory {max((_size(one) for one in commands), default=0):.3g} GB")
    return f"<p class=soft>{html.escape(' · '.join(map(str, said)))}</p>"


def _size(machine: dict[str, Any]) -> float:
    size = machine.get("peak_memory_gb")
    return size if isinstance(size, float) else 0.0


def _told(machine: dict[str, Any]) -> list[list[str]]:
    return [[k, json.dumps(v)] for k, v in machine.items()]


def clear(folder: Path) -> None:
    """Forget the noted figures and tables, before a report is made again."""
    write_json(folder / "figures" / "index.json", [])


def cell(value: Any) -> str:
    """A value as a table shows it: numbers with four digits."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "–" if value is None else str(value)
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def _add(folder: Path, item: dict[str, Any]) -> None:
    file = folder / "figures" / "index.json"
    others = [i for i in read_json(file, []) if (i["name"], i["kind"]) != (item["name"], item["kind"])]
    write_json(file, [*others, item])


def _smooth(values: tuple[float, ...]) -> list[float]:
    """A running mean that shows the trend of a noisy loss."""
    out, mean = [], values[0]
    for value in values:
        mean += (value - mean) / min(len(out) + 1, 20)
        out.append(mean)
    return out


def _shrink(size: int) -> float:
    """By how much to scale figures so that the page stays under its limit (base64 costs a third)."""
    budget = 0.7 * LIMIT / 1.34
    return 1.0 if size <= budget else (budget / size) ** 0.5


def _figure(folder: Path, item: dict[str, Any], scale: float) -> str:
    data = (folder / "figures" / f"{item['name']}.png").read_bytes()
    if scale < 1:
        from PIL import Image

        picture = Image.open(io.BytesIO(data))
        picture = picture.resize((int(picture.width * scale), int(picture.height * scale)))
        small = io.BytesIO()
        picture.save(small, "PNG", optimize=True)
        data = small.getvalue()
    source = base64.b64encode(data).decode()
    caption = html.escape(item["caption"])
    return (
        f"<figure><img alt='{caption}' src='data:image/png;base64,{source}'><figcaption>{caption}</figcaption></figure>"
    )


def _table(item: dict[str, Any]) -> str:
    head = "".join(f"<th>{html.escape(h)}</th>" for h in item["header"])
    body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in item["rows"])
    caption = f"<caption>{html.escape(item['caption'])}</caption>" if item.get("caption") else ""
    return f"<div class='card scroll'><table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _fold(title: str, rows: list[list[str]]) -> str:
    body = "".join(f"<tr><td>{html.escape(a)}</td><td class=text>{html.escape(b)}</td></tr>" for a, b in rows)
    if not rows:
        return ""
    table = f"<div class='card scroll'><table><tbody>{body}</tbody></table></div>"
    return f"<details><summary>{title}</summary>{table}</details>"
