"""A phase of training: what `fit` needs to know."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from genkit.parallel import Rule, make_mesh, shardings
from genkit.programs import watched
from genkit.train import checkpoint

Hook = Callable[[Any, int], dict[str, float] | None]


@dataclass(frozen=True)
class Phase:
    """One training: a state, a step, the data and what is done now and then.

    The state is any pytree of arrays: one network or several players, teacher and student, a sample pool.
    """

    name: str
    """Names the phase in checkpoints, metrics and the progress bar; unique in a run folder."""
    init: Callable[[jax.Array], Any]
    """``init(key) -> state``; traceable, and no leaf of it may be NaN."""
    step: Callable[[Any, Any, jax.Array], tuple[Any, dict[str, jax.Array]]]
    """``step(state, batch, key) -> (state, metrics)``; pure, compiled by `fit`, which donates the state.
    Metrics are scalars; the training stops when one whose name ends in `loss` or `grad_norm` is not finite."""
    data: Iterable[Any] | None
    """Gives batches without end, as `genkit.data.batches`; an iterator with get_state() and set_state() is
    resumed exactly. None: the step draws its own batch from its key."""
    steps: int
    """Length of the training."""
    every: tuple[tuple[int, Hook], ...] = ()
    """Pairs (k, f): ``f(state, step) -> {name: number} | None`` is called after every k-th step and the last;
    it must not keep the state's arrays, which the next step overwrites. All processes call it."""
    best: str = "val/loss"
    """The number among those returned by the hooks whose lowest value marks the best checkpoint."""
    log_every: int | None = None
    """Steps over which metrics are averaged for a line of the log; None: 200 lines in all."""
    shard: Rule | None = None
    """Splits parameters over devices (`genkit.parallel.fsdp`); None: every device has a copy."""


def place(folder: str | Path, name: str, which: str = "last") -> Path:
    """The folder of a phase's checkpoints, `which` being "last" or "best"."""
    return Path(folder) / "checkpoints" / name / which


def load(phase: Phase, folder: str | Path, which: str = "best", mesh: Mesh | None = None) -> Any:
    """The best or the last saved state of a phase from a run folder, on this machine's devices.

    Without a best checkpoint (no hook returned `phase.best`), "best" is the last one. Under `genkit.programs.watch` it
    is made up.
    """
    if watched():
        return jax.jit(phase.init)(jax.random.key(0))
    where = place(folder, phase.name, which)
    if which == "best" and checkpoint.latest(where) is None:
        where = place(folder, phase.name)
    return checkpoint.restore(where, abstract(phase, mesh or make_mesh()))[0]


def finished(phase: Phase, folder: str | Path) -> bool:
    """Whether a run folder holds the end of a phase, undamaged."""
    last = place(folder, phase.name)
    step = checkpoint.latest(last)
    return step is not None and step >= phase.steps and checkpoint.damage(last, step) is None


def abstract(phase: Phase, mesh: Mesh) -> Any:
    """The state of a phase as shapes, types and shardings, without computing it."""
    shapes = jax.eval_shape(phase.init, jax.random.key(0))
    places = shardings(shapes, mesh, phase.shard)
    return jax.tree.map(lambda s, p: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=p), shapes, places)
