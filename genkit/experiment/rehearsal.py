"""An experiment gone through without training: what it trains, and what its programs cost."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from genkit.data import NotFetched
from genkit.errors import DataError, GenkitError, UsageError
from genkit.experiment.experiment import Experiment
from genkit.experiment.run import Run
from genkit.programs import Flops, Program, Watch, flops, watch

MIB = 2**20


@dataclass(frozen=True)
class Rehearsal:
    """What was seen of an experiment under `genkit.programs.watch`."""

    seen: Watch
    stages: dict[str, list[Program]]
    """The calls of each stage that ended, in order."""
    error: Exception | None
    """What stopped it, in the stage after those."""

    @property
    def parameters(self) -> dict[str, int]:
        """Of each training."""
        return {one.phase.name: one.parameters for one in self.seen.trainings}

    @property
    def steps(self) -> dict[str, Program]:
        """A step of each training."""
        return {one.phase.name: one.step for one in self.seen.trainings}


def rehearse(
    config: Experiment, seed: int = 0, stages: Sequence[str] = ("prepare", "train", "sample"), shard: bool = False
) -> Rehearsal:
    """Go through the stages of an experiment; "draw" is one sample of its model.

    Programs are traced, and what they return is made up (`genkit.programs.watch`); nothing is trained, fetched or
    kept. An experiment whose own code does not get along with made-up numbers stops where it does.
    """
    done: dict[str, list[Program]] = {}
    with tempfile.TemporaryDirectory(prefix="genkit-") as folder, watch() as seen, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = Run(config, Path(folder), seed, may_train=True)
        run.shard = shard
        try:
            with np.errstate(all="ignore"):
                for stage in stages:
                    first = len(seen.calls)
                    config.draw(run, run.key("draw"), 1) if stage == "draw" else getattr(config, stage)(run)
                    done[stage] = seen.calls[first:]
        except Exception as error:
            return Rehearsal(seen, done, error)
    return Rehearsal(seen, done, None)


def costs(config: Experiment, seed: int = 0, memory: bool = False, shard: bool = False) -> dict[str, str]:
    """Parameters and operations of an experiment as text; with `memory` its main programs are compiled: a
    training step as for a run with or without `shard`, and a sample for one device.

    A sample is one `draw`, or where the experiment has none the whole stage; what runs outside jit is not counted.
    Raises what a run would raise: `UsageError`, `DataError` and MemoryError. Any other error may be due to numbers that
    are made up; then the text says how far it came.
    """
    last = "sample" if type(config).draw is Experiment.draw else "draw"
    found = rehearse(config, seed, ("prepare", "train", last), shard)
    wrong = isinstance(found.error, UsageError | DataError | MemoryError)
    if found.error is not None and wrong and not isinstance(found.error, NotFetched):
        raise found.error
    what = "sample" if last == "draw" else "sampling, all"
    text = {}
    if found.steps:
        text["parameters"] = _listed({name: f"{n:,}" for name, n in found.parameters.items()})
        text["training step"] = _listed({name: str(flops(one.jaxpr)) for name, one in found.steps.items()})
    if found.stages.get(last):
        text[what] = str(sum((flops(one.jaxpr) for one in found.stages[last]), Flops()))
    if memory:
        devices = f" on each of {count} devices" if (count := jax.device_count()) > 1 else ""
        trainings = {one.phase.name: one for one in found.seen.trainings}
        text |= {f"memory, step of {name}{devices}": _memory([one.lower()]) for name, one in trainings.items()}
        if programs := {id(one.jaxpr): one for one in found.stages.get(last, ())}:
            text[f"memory, {what}"] = _memory(one.lower() for one in programs.values())
    if found.error is not None:
        reason = (str(found.error).splitlines() or [""])[0]
        reason = reason if isinstance(found.error, GenkitError) else f"{type(found.error).__name__}: {reason}"
        text["not known"] = f"what comes after {' and '.join(found.stages) or 'the start'} ({reason})"
    return text


def _listed(values: dict[str, str]) -> str:
    """The value alone where there is one, else each with its name."""
    return next(iter(values.values())) if len(values) == 1 else ", ".join(f"{k} {v}" for k, v in values.items())


def _memory(programs: Iterable[Any]) -> str:
    """Of the lowered program that needs most."""
    sizes = [s for one in programs if (s := one.compile().memory_analysis()) is not None]
    if not sizes:
        return "this device does not tell"

    def total(s: Any) -> int:
        new = s.output_size_in_bytes - s.alias_size_in_bytes
        return s.argument_size_in_bytes + new + s.temp_size_in_bytes

    most = max(sizes, key=total)
    return (
        f"{total(most) / MIB:.1f} MiB (arguments {most.argument_size_in_bytes / MIB:.1f}, "
        f"results {most.output_size_in_bytes / MIB:.1f} of which {most.alias_size_in_bytes / MIB:.1f} in the place of "
        f"arguments, between {most.temp_size_in_bytes / MIB:.1f})"
    )
