"""Sampling of categories as one compiled program."""

from typing import Any, Protocol

import jax

from genkit.chain import Model, callable_tree, draw
from genkit.discrete.factorised import Denoiser, PyTree

Array = jax.Array


class Sampler(Protocol):
    """An algorithm that turns noise into data, given a denoiser."""

    def model(self, denoiser: Denoiser, shape: Any, cond: Any = None, mask: Any = None) -> Model:
        """The chain from noise to samples of `shape` (n, ...); its particles have the state as `x`."""
        ...


def sample(
    key: Array,
    sampler: Sampler,
    denoiser: Denoiser,
    shape: Any,
    cond: Any = None,
    slots: Array | None = None,
    mask: PyTree = None,
) -> PyTree:
    """Draw samples x_0, int32 of `shape` = (n, ...), or a pytree of parts.

    One compiled program per shape, number of steps and type of denoiser; new parameters, schedules, strengths and
    keys compile nothing.

    Args:
        key: key of the run.
        sampler: such as `Ancestral(...)`, `FlowMatching(...)` or `OrderAgnostic(...)`.
        denoiser: (x (n, ...), t () or (n,), cond) -> logits of x_0 (n, ..., K).
        shape: (n, ...) of the samples; or by part.
        cond: pytree of leaves (n, ...), one condition per sample, or None.
        slots: (n,) or (n, k) int, places of these samples in a larger whole; a draw in chunks equals one draw.
        mask: bool, broadcasts with x (by part): the sites that are real; the others come back as 0.

    Raises:
        UsageError: cond without the shape's batch, or logits of another shape.
    """
    n = jax.tree.leaves(shape)[0]
    model = sampler.model(callable_tree(denoiser), shape, cond, mask)
    return draw(key, model, n, cond, slots).x
