"""Weighted means over any axes."""

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

Axes = int | tuple[int, ...] | None


def weighted_mean(x: ArrayLike, weights: ArrayLike | None = None, reduce: Axes = None) -> Array:
    """Mean of `x` over the axes `reduce`, each cell counted with its weight.

    `weights` broadcasts to `x` and is normalised over the averaged cells, so only ratios matter. A cell of
    weight 0 is left out even where `x` is not finite. `reduce=None` averages everything, `()` nothing
    (then the weights have no effect). Sums stay in float32: XLA reduces in a tree, so rounding does not grow
    with the number of cells.
    """
    x = jnp.asarray(x)
    axes = reduced_axes(x.ndim, reduce)
    if not axes:
        return x
    if weights is None:
        return x.mean(axis=axes)
    w = jnp.broadcast_to(jnp.asarray(weights, x.dtype), x.shape)
    return jnp.where(w == 0, 0, w * x).sum(axis=axes) / w.sum(axis=axes)


def reduced_axes(ndim: int, reduce: Axes) -> tuple[int, ...]:
    """Axes named by `reduce` (None: all of them) as sorted non-negative numbers."""
    if reduce is None:
        return tuple(range(ndim))
    axes = (reduce,) if isinstance(reduce, int) else reduce
    return tuple(sorted(range(ndim)[a] for a in axes))
