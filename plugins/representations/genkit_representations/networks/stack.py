"""Equal blocks, one after the other, as one loop: a deep network compiles as fast as a shallow one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from flax import nnx


def stack(make: Callable[[nnx.Rngs], nnx.Module], depth: int, rngs: nnx.Rngs) -> Any:
    """A module whose parameters are those of `depth` modules, along a leading axis."""
    return nnx.vmap(lambda key: make(nnx.Rngs(key)))(jax.random.split(rngs(), depth))


def through(blocks: Any, x: Any, *own: Any, remat: bool = False) -> Any:
    """x after all blocks of a stack; each is called with x and its slice of `own`, leaves (depth, ...).

    With `remat` only x before each block is kept for the gradient.
    """
    graph, state = nnx.split(blocks)

    def one(x: Any, inputs: Any) -> tuple[Any, None]:
        params, own = inputs
        return nnx.merge(graph, params)(x, *own), None

    return jax.lax.scan(jax.checkpoint(one, prevent_cse=False) if remat else one, x, (state, own))[0]
