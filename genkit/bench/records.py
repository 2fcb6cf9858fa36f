"""Recorded figures: one JSON file and one markdown page per machine, and tables that compare with them."""

from __future__ import annotations

import dataclasses
import math
import os
import platform
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from genkit.bench.rows import Row
from genkit.experiment import cell, describe
from genkit.files import read_json, write, write_json

FOLDER = Path("benchmarks")
Values = Mapping[tuple[str, str], float]


def machine() -> str:
    """What decides a timing besides the code: devices, and the processor with its cores."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and (model := re.search(r"^model name\s*: (.+)$", cpuinfo.read_text(), re.M)):
        processor = model[1]
    devices = jax.devices()
    accelerators = "" if devices[0].platform == "cpu" else f"{len(devices)} x {devices[0].device_kind}, "
    return f"{accelerators}{processor}, {os.cpu_count()} cores"


def baseline(folder: Path = FOLDER) -> dict[str, Values]:
    """The figures recorded on this machine: suite -> (name, unit) -> value; empty if there are none."""
    return {
        suite: {(row["name"], row["unit"]): row["value"] for row in one["rows"]}
        for suite, one in _read(folder)["suites"].items()
    }


def record(found: Mapping[str, Sequence[Row]], folder: Path = FOLDER) -> Path:
    """Put measured suites into the file of this machine, others staying as they are; returns the markdown page."""
    about, content = describe(), _read(folder)
    for suite, rows in found.items():
        content["suites"][suite] = {
            "date": time.strftime("%Y-%m-%d"),
            "git": about["git"],
            "versions": about["versions"],
            "rows": [{**dataclasses.asdict(row), "value": _finite(row.value, None)} for row in rows],
        }
    page = [f"# {content['machine']}", "", "Written by `genkit bench --record`."]
    for suite, one in sorted(content["suites"].items()):
        jax_version = one["versions"]["jax"]
        page += ["", f"## {suite}", "", f"{one['date']}, jax {jax_version}, commit {one['git']}", ""]
        page += _markdown(*table([Row(**{**row, "value": _finite(row["value"], math.nan)}) for row in one["rows"]]))
    file = _file(folder)
    write_json(file, content)
    write(file.with_suffix(".md"), "\n".join(page) + "\n")
    return file.with_suffix(".md")


def table(rows: Sequence[Row], before: Values | None = None) -> tuple[list[str], list[list[str]]]:
    """Header and cells of a suite's table: columns that no row fills are left out.

    `before` holds recorded values by (name, unit); the column `ratio` is the value divided by the recorded one.
    """
    columns = ("", "value", "unit", "expected", "off by", "allowed", "state", "ratio", "note")
    cells = []
    for row in rows:
        once = (before or {}).get((row.name, row.unit))
        against = ["", "", "", ""]
        if row.expected is not None:
            state = "MISSED" if row.missed else "ok"
            against = [f"{row.expected:.7g}", f"{row.error:.1e}", f"{row.tolerance:.0e}", state]
        value = cell(float(row.value)) if row.expected is None else f"{row.value:.7g}"
        cells.append([row.name, value, row.unit, *against, f"{row.value / once:.2f}" if once else "", row.note])
    used = [i for i in range(len(columns)) if any(line[i] for line in cells)]
    return [columns[i] for i in used], [[line[i] for i in used] for line in cells]


def _finite(value: float | None, other: Any) -> Any:
    """JSON has no NaN: it is null there."""
    return other if value is None or not math.isfinite(value) else float(value)


def _markdown(header: list[str], cells: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(line) + " |" for line in (header, ["---"] * len(header), *cells)]


def _file(folder: Path) -> Path:
    return folder / (re.sub(r"[^a-z0-9]+", "-", machine().lower()).strip("-") + ".json")


def _read(folder: Path) -> dict[str, Any]:
    """The content of this machine's file; empty suites if there is none."""
    return read_json(_file(folder), {"machine": machine(), "suites": {}})
