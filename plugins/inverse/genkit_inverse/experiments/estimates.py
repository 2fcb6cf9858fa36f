"""Runs of an estimator over seeds, and what is told of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np

from genkit.programs import watched
from genkit_inverse.estimators import Estimator, Settings
from genkit_inverse.targets import Beginning, modes_found, whitened

SHOWN = 2000
EACH = ("log_z", "evals", "seconds", "modes", "undefined", "unfinished")
KEYS = (*EACH, "wall")
COLUMNS = {
    "log Z [nats]": "log_z/{}/{{}}/mean", "s.d. [nats]": "log_z/{}/{{}}/sd", "error [nats]": "log_z/{}/{{}}/error",
    "evaluations": "log_z/{}/{{}}/evals", "seconds [s]": "log_z/{}/{{}}/seconds", "modes": "modes/{}/{{}}",
    "failed": "failed/{}/{{}}",
}  # fmt: skip


def estimated(
    run: Any,
    name: str,
    make: Callable[[Beginning, int, Settings], Estimator],
    density: Any,
    settings: Settings,
    seeds: int,
) -> dict[str, np.ndarray]:
    """Of each seed: log_z, evals, seconds, modes, undefined and unfinished, each (seeds,); NaN where not known.

    The seconds of all with the compilation are there as `wall` (), the states of the first one as `x` (SHOWN, 2).
    """
    first, root = time.perf_counter(), run.key(name)
    program = jax.jit(make(whitened(density), density.dim, settings))
    if not watched():  # a rehearsal compiles nothing; elsewhere the seconds of a run are without it
        program = program.lower(root).compile()
    modes = jax.jit(partial(modes_found, density))
    rows: dict[str, list[float]] = {key: [] for key in EACH}
    for seed in range(seeds):
        start = time.perf_counter()
        found = jax.block_until_ready(program(jax.random.fold_in(root, seed)))
        rows["seconds"].append(time.perf_counter() - start)
        count = modes(found.x, found.log_w)
        rows["modes"].append(np.nan if count is None else float(count))
        for key in ("log_z", "evals", "undefined", "unfinished"):
            rows[key].append(float(getattr(found, key)))
        if seed == 0:
            p = np.exp(np.asarray(found.log_w, np.float64) - float(found.log_w.max()))
            at = np.random.default_rng(0).choice(len(p), SHOWN, p=p / p.sum()) if np.isfinite(p.sum()) else slice(SHOWN)
            shown = np.asarray(found.x[at, :2])
    for key, said in (
        ("undefined", "the density was NaN or +inf at some states, which counts as zero"),
        ("unfinished", "it stopped before it was at the target"),
    ):
        if wrong := sum(value > 0 for value in rows[key]):
            run.say(f"{name}: {said}, in {wrong} of {seeds} runs")
    wall = np.array(time.perf_counter() - first)
    return {key: np.array(values) for key, values in rows.items()} | {"x": shown, "wall": wall}


def succeeded(rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """Which runs came to their end with a finite log Z, (seeds,) bool."""
    return np.isfinite(rows["log_z"]) & (rows["unfinished"] == 0)


def results_of(
    target: str, method: str, rows: Mapping[str, np.ndarray], truth: float | None
) -> dict[str, float | None]:
    """Results of the runs of a method on a target."""
    good = succeeded(rows)
    log_z, place = rows["log_z"][good], f"log_z/{target}/{method}"
    mean = float(log_z.mean()) if good.any() else None
    modes = rows["modes"][good & np.isfinite(rows["modes"])]
    return {
        f"{place}/mean": mean,
        f"{place}/sd": float(log_z.std(ddof=1)) if len(log_z) > 1 else None,
        f"{place}/error": None if mean is None or truth is None else mean - truth,
        f"{place}/evals": float(rows["evals"].mean()),
        f"{place}/seconds": float(np.median(rows["seconds"])),
        f"modes/{target}/{method}": float(modes.mean()) if len(modes) else None,
        f"failed/{target}/{method}": float((~good).sum()),
    }


def error_points(
    points: Mapping[str, list[dict[str, np.ndarray]]], truth: float
) -> dict[str, list[tuple[float, np.ndarray]]]:
    """Of each method pairs (mean evaluations, errors of the runs that succeeded); without those of which none did."""
    found = {
        method: [
            (float(rows["evals"].mean()), rows["log_z"][good] - truth)
            for rows in each
            if (good := succeeded(rows)).any()
        ]
        for method, each in points.items()
    }
    return {method: pairs for method, pairs in found.items() if pairs}
