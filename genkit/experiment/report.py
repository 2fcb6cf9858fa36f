"""What a report shows: figures and tables, noted in the run folder until the page is built from them."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from genkit.errors import GenkitError
from genkit.experiment.table import cell
from genkit.files import damaged, read_json, read_text, write, write_json
from genkit.terminal import plural

METRICS_LIMIT = 500_000_000  # bytes
ALT_PANELS = 8  # that a text in place of a figure names


def add_figure(folder: Path, name: str, figure: Any, caption: str) -> Path:
    """Save a matplotlib figure as ``figures/<name>.png``, note it for the report, close it; returns the file."""
    import matplotlib.pyplot as plt

    png = io.BytesIO()
    tight = None if figure.get_layout_engine() else "tight"  # a layout leaves no margins, and tight would draw it twice
    figure.savefig(png, format="png", dpi=110, bbox_inches=tight)
    plt.close(figure)
    file = folder / "figures" / f"{name}.png"
    write(file, png.getvalue())
    _add(folder, {"name": name, "kind": "figure", "caption": caption, "alt": described(figure)})
    return file


def described(figure: Any) -> str:
    """A figure in words, for those who do not see it: its panels, axes and curves."""
    said = []
    for axes in figure.axes:
        names = [" against ".join(filter(None, (axes.get_ylabel(), axes.get_xlabel()))), *_legend(axes)]
        text = ": ".join(filter(None, (axes.get_title(), ", ".join(filter(None, names)))))
        if text and text not in said:
            said.append(text)
    about = "; ".join(" ".join(text.split()) for text in said[:ALT_PANELS])
    return f"Figure of {plural(len(figure.axes), 'panel')}" + (f": {about}" if about else "")


def _legend(axes: Any) -> list[str]:
    legend = axes.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


def add_table(
    folder: Path,
    name: str,
    header: list[str],
    rows: list[list[str]],
    caption: str,
    best: list[tuple[int, int]],
    links: Sequence[tuple[int, int, str]] = (),
) -> None:
    """Note a table for the report, with the places (row, column) of its best numbers, and of files of the folder."""
    item = {"name": name, "kind": "table", "caption": caption, "header": header, "rows": rows, "best": best}
    _add(folder, item | ({"links": list(links)} if links else {}))


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


def first_results(folder: Path, most: int = 12) -> dict[str, str]:
    """The first results as they are shown, and how many more there are."""
    found = list(results(folder).items())
    more = {"...": f"{len(found) - most} more in results.json"} if len(found) > most else {}
    return {name: cell(value) for name, value in found[:most]} | more


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
    if one["kind"] == "figure":
        return isinstance(one.get("alt", ""), str)
    rows, best = [one.get("header"), *(one.get("rows") or [])], one.get("best", [])
    if not isinstance(best, list) or not all(map(_is_link, one.get("links", []))):
        return False
    return all(isinstance(row, list) and all(isinstance(c, str) for c in row) for row in rows)


def _is_link(one: Any) -> bool:
    """Whether it leads to a file within the folder, and nowhere else."""
    if not (isinstance(one, list) and [type(part) for part in one] == [int, int, str]):
        return False
    path = PurePosixPath(one[2])
    return not path.is_absolute() and ".." not in path.parts and ":" not in one[2] and "\\" not in one[2]


def clear(folder: Path) -> None:
    """Forget the noted figures and tables, before a report is made again."""
    write_json(folder / "figures" / "index.json", [])


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
