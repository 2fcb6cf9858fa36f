"""Training steps a second with their data, and on one batch that stays: what the input pipeline costs.

    python -m benchmarks.pipelines weather.graph_lam molecules.ardm crystals.wyckoffdiff [--preset tiny]

A table in Markdown: for each training of an experiment, its preset default if none is given, the milliseconds of the
processor and of the wall a step, both ways in turn, the median of `ROUNDS` rounds, and what a batch weighs. Experiments
are only rehearsed (`genkit.experiment.rehearse`): networks are as they begin, and numbers that the preparation computes
are made up.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from genkit.experiment import preset_of, rehearse
from genkit.plugin import registry

STEPS, ROUNDS = 5, 7


def measured(phase: Any) -> str:
    """A row of the table."""
    data, key = iter(phase.data), jax.random.key(0)
    first, state = next(data), jax.jit(phase.init)(key)
    step = jax.jit(phase.step, donate_argnums=0)
    state, _ = step(state, first, key)
    times = {"fresh": [], "same": []}
    for _ in range(ROUNDS):
        for name, batch in (("fresh", lambda: next(data)), ("same", lambda: first)):
            state, took = timed(lambda state, batch: step(state, batch, key), state, batch)
            times[name].append(took)
    with_data, without = (np.median(some, 0) for some in times.values())
    size = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(first)) / 1e6
    ratio = np.median(np.array(times["fresh"]) / np.array(times["same"]), 0)
    if hasattr(data, "close"):
        data.close()
    numbers = (f"{a:.2f} | {b:.2f} | {c:.2f}" for a, b, c in zip(with_data, without, ratio, strict=True))
    return f"| {phase.name} | {size:.3g} | {' | '.join(numbers)} |"


def timed(step: Callable[[Any, Any], Any], state: Any, batch: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
    """The state after some steps, and milliseconds (processor, wall) of one; batches are read while devices work."""
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(STEPS):
        state, metrics = step(state, batch())
    jax.block_until_ready((state, metrics))
    return state, (1e3 * (time.process_time() - cpu) / STEPS, 1e3 * (time.perf_counter() - wall) / STEPS)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="what the input pipelines of trainings cost")
    parser.add_argument("experiments", nargs="+")
    parser.add_argument("--preset", default="default")
    told = parser.parse_args()
    head = "training", "MB a batch", "processor ms", "one batch", "ratio", "wall ms", "one batch", "ratio"
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for name in told.experiments:
        found = rehearse(preset_of(registry().load("experiments", name), told.preset), stages=("prepare", "train"))
        for phase in {one.phase.name: one.phase for one in found.seen.trainings}.values():
            if phase.data is not None:
                print(measured(phase).replace("| ", f"| {name}, ", 1), flush=True)


if __name__ == "__main__":
    main()
