"""Which times are for training, for validation and for the test, as series of equal steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from genkit.errors import DataError, UsageError
from genkit_weather.gridded.times import runs, usual_step

SPLITS = ("train", "val", "test")
SHORTEST = 3  # states of a series: two that are known and one that is predicted


@dataclass(frozen=True)
class Piece:
    """A series: where it lies in the file, and when."""

    index: dict[str, int]
    """member and start"""
    rows: np.ndarray
    """(T,) along time or step"""
    time: np.ndarray
    """(T,) datetime64[s]"""
    issued: np.datetime64 | None = None


@dataclass(frozen=True)
class Pieces:
    """The series of each split, and what was done to find them."""

    splits: dict[str, list[Piece]]
    step: int
    """seconds"""
    notes: tuple[str, ...]


def pieces(
    file: xr.Dataset,
    source: str,
    hours: float | None,
    shares: tuple[float, float],
    spans: dict[str, tuple[str, str] | None],
    gone: np.ndarray | None = None,
) -> Pieces:
    """Cut a data set of `fields` at gaps and into splits.

    Analyses are cut by their times, so that no time is in two splits, whatever the member. Forecasts are whole in one
    split, by the time at which they begin; those that reach into the next split's times are left out.

    Args:
        file: the data.
        source: how errors name them.
        hours: between states; those of the file if none. Each phase is a series of its own.
        shares: of the times, for training and validation, where there are no dates.
        spans: first and last day of each split; all of them or none.
        gone: (start, step) bool, the times of forecasts that are missing.
    """
    notes: list[str] = []
    along = "start" if "start" in file.dims else "time"
    stamps, passed = file[along].values.astype("datetime64[s]"), file["passed"].values
    held = file["step"].values if along == "start" else passed
    if len(held) < 2:
        raise DataError(f"{source} has {len(held)} time; a forecast needs at least {SHORTEST}")
    own = usual_step(held)
    step = own if hours is None else round(hours * 3600)
    if step < own or step % own:
        raise UsageError(f"step={hours:g} h is no multiple of the {own / 3600:g} h of {source}")
    least = SHORTEST * (len(SPLITS) if along == "time" and not any(spans.values()) else 1)
    if len(held) < least:
        raise DataError(f"{source} has {len(held)} times; three splits of {SHORTEST} states need at least {least}")
    used = sum(len(rows) for rows in runs(held, step) if len(rows) >= SHORTEST)
    if used < len(held) * 2 / 3:
        raise DataError(
            f"{source}: only {used} of {len(held)} times stand in rows of {SHORTEST} or more, {step / 3600:g} h apart; "
            "steps must be equal, which months are not"
        )
    windows = _windows(stamps, source, shares, spans)
    members: list[dict[str, int]] = [{"member": m} for m in range(file.sizes.get("member", 0))] or [{}]
    splits: dict[str, list[Piece]] = {}
    for name, (begin, end) in windows.items():
        inside = np.flatnonzero((stamps >= begin) & (stamps < end))
        found = cut(inside, stamps, held, step, along == "start", gone)
        if along == "start":
            later = min((first for first, _ in windows.values() if first >= end), default=np.datetime64("9999", "s"))
            found = [one for one in found if one.time[-1] < later]
        said = f"{source}: split {name} ({begin} to before {end})"
        kept = long_enough(found, name, step, said, notes, "; set --data.split, or --data.train, val and test")
        splits[name] = [replace(one, index={**m, **one.index}) for m in members for one in kept]
    if along == "time":
        notes = gaps(stamps, passed, own) + notes
    return Pieces(splits, step, tuple(notes))


def cut(
    inside: np.ndarray, stamps: np.ndarray, held: np.ndarray, step: int, begins: bool, gone: np.ndarray | None = None
) -> list[Piece]:
    """The series of a split, one a phase: of analyses, or of the forecasts that begin at its times.

    Args:
        inside: rows of the split along time, or along start.
        stamps: (T,) datetime64[s] of all rows.
        held: (T,) seconds of all times; of forecasts (L,) of all lead times.
        step: seconds between states.
        begins: whether forecasts begin at the times.
        gone: (T, L) bool, the times of forecasts that are missing.
    """
    if not begins:
        return [Piece({}, inside[rows], stamps[inside[rows]]) for rows in runs(held[inside], step)]
    found = []
    for i in map(int, inside):
        there = np.arange(len(held)) if gone is None else np.flatnonzero(~gone[i])
        for rows in (there[one] for one in runs(held[there], step)):
            found.append(Piece({"start": i}, rows, stamps[i] + held[rows].astype("timedelta64[s]"), stamps[i]))
    return found


def long_enough(
    found: list[Piece], split: str, step: int, said: str, notes: list[str], advice: str = ""
) -> list[Piece]:
    """Those of a split that can be forecast; a note tells how many are not.

    Raises:
        DataError: none is; `said` begins the line and `advice` ends it.
    """
    kept = [one for one in found if len(one.rows) >= SHORTEST]
    if not kept:
        raise DataError(f"{said} has no {SHORTEST} states in a row, {step / 3600:g} h apart{advice}")
    if len(kept) < len(found):
        notes.append(f"{split}: pieces of fewer than {SHORTEST} states are left out ({len(found) - len(kept)})")
    return kept


def gaps(stamps: np.ndarray, passed: np.ndarray, own: int) -> list[str]:
    """One line on the times that are missing."""
    far = np.flatnonzero(np.diff(passed) != own)
    if not len(far):
        return []
    listed = ", ".join(f"{stamps[i]} to {stamps[i + 1]}" for i in far[:3]) + (", ..." if len(far) > 3 else "")
    gaps = "a gap" if len(far) == 1 else f"{len(far)} gaps"
    count = len(runs(passed, own))
    return [f"the times have {gaps} ({listed}; the step is {own / 3600:g} h) and are cut into {count} series"]


def _windows(
    stamps: np.ndarray, source: str, shares: tuple[float, float], spans: dict[str, tuple[str, str] | None]
) -> dict[str, tuple[Any, Any]]:
    """First time and the one after the last of each split."""
    given = {name: span for name, span in spans.items() if span is not None}
    if given and len(given) < len(SPLITS):
        missing = [name for name in SPLITS if name not in given]
        raise UsageError(f"{', '.join(given)} have dates, {', '.join(missing)} have none; give all three or none")
    if not given:
        if not 0 < shares[0] < 1 or not 0 < shares[1] < 1 - shares[0]:
            raise UsageError(f"split={shares} must be two positive shares whose sum is below 1")
        n, after = len(stamps), stamps[-1] + np.timedelta64(1, "s")
        cuts = [stamps[0], *(stamps[min(round(s * n), n - 1)] for s in (shares[0], sum(shares))), after]
        return {name: (cuts[i], cuts[i + 1]) for i, name in enumerate(SPLITS)}
    windows = {}
    for name, (first, last) in given.items():
        try:
            begin, end = np.datetime64(first, "s"), np.datetime64(last) + 1  # of its unit: a year, a month, a day
        except ValueError:
            raise UsageError(f"{name}={first} {last}: expected the first and the last day, as 2019-03-01") from None
        if end <= begin:
            raise UsageError(f"{name}={first} {last}: the last day is before the first")
        windows[name] = begin, end.astype("datetime64[s]")
    order = sorted(windows, key=lambda name: windows[name][0])
    for one, two in zip(order, order[1:], strict=False):
        if windows[two][0] < windows[one][1]:
            raise UsageError(f"{one} and {two} overlap: {given[one]} and {given[two]}; no time may be in two splits")
    return windows
