"""A phase of training as `genkit.programs.watch` sees it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from genkit.parallel import replicate
from genkit.programs import Training, watched
from genkit.train.compiled import lower_step, mesh_of
from genkit.train.phase import Phase, abstract
from genkit.train.step import TrainState


def rehearse(phase: Phase, key: jax.Array) -> Any:
    """What `fit` does under a watch: the step is seen once, then the hooks; the state that it returns is made up."""
    seen = watched()
    assert seen is not None
    state, batch = jax.jit(phase.init)(key), None
    if phase.data is not None:
        data = iter(phase.data)
        batch = next(data)
        if hasattr(data, "close"):
            data.close()  # type: ignore[attr-defined]
    first = len(seen.calls)
    new, _ = jax.jit(phase.step, donate_argnums=0)(state, batch, key)

    def lower() -> Any:
        mesh = mesh_of(batch, getattr(phase.step, "accumulate", 1))
        return lower_step(phase, abstract(phase, mesh), batch, replicate(key, mesh), mesh)[0]

    seen.trainings.append(Training(phase, seen.calls[first], _parameters(state), lower))
    for _, hook in phase.every:
        hook(new, phase.steps)
    return new


def _parameters(state: Any) -> int:
    """Numbers that are trained: the parameters of every `TrainState` in it; without one, all floats of the state."""
    nodes = jax.tree.leaves(state, is_leaf=lambda one: isinstance(one, TrainState))
    trained = [one.params for one in nodes if isinstance(one, TrainState)] or state
    return sum(x.size for x in jax.tree.leaves(trained) if jnp.issubdtype(x.dtype, jnp.inexact))
