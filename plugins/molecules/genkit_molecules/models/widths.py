"""Rows of a few widths for items of many sizes, so that small ones are not padded to the largest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.data import pool_size
from genkit_molecules.items import Layout


def bounded(sizes: np.ndarray, share: np.ndarray, cost: Callable[[int], float]) -> tuple[int, ...]:
    """Ascending sizes, at most four, up to which items stand in rows of one width.

    The largest, and others that each save a tenth of the mean cost or more. They follow from the sizes alone: what an
    item is depends on the width of its row.
    """
    order = np.argsort(sizes)
    ascending, share = sizes[order], share[order]
    costs, ends = np.array([cost(int(s)) for s in ascending], float), [len(sizes) - 1]

    def mean(ends: list[int]) -> float:
        return float(share @ costs[np.array(ends)[np.searchsorted(ends, np.arange(len(costs)))]])

    while len(ends) < min(4, len(costs)):
        more = min((sorted([*ends, k]) for k in range(len(costs)) if k not in ends), key=mean)
        if mean(more) > 0.9 * mean(ends):
            break
        ends = more
    return tuple(ascending[ends].tolist())


@dataclass(frozen=True)
class Trimmed:
    """Batches in training, of items of nearly one size each, whose rows are cut to the least width that holds them."""

    layout: Layout
    bounds: tuple[int, ...]
    near: np.ndarray | None
    """(M,), what of the examples is nearly equal in a batch, for `genkit.train.learn`; None where there is one width"""

    @classmethod
    def of(cls, layout: Layout, mask: np.ndarray, batch: int) -> Trimmed:
        """For examples of which (M, n) atoms or letters are real; of few there are large ones in each batch."""
        near, bounds = mask.sum(1), (mask.shape[1],)
        if pool_size(len(mask), batch) > 1:
            sizes, counts = np.unique(near, return_counts=True)
            bounds = (*bounded(sizes, counts / counts.sum(), layout.width)[:-1], mask.shape[1])
        return cls(layout, bounds, near if len(bounds) > 1 else None)

    def __call__(self, loss: Callable[[Any, Any, Any], Any], params: Any, x: Any, cond: dict[str, Any]) -> Any:
        """loss(params, x, cond), a number, of rows (B, D) and of conditions with their mask (B, n), both cut."""

        def cut(size: int, params: Any) -> Any:
            return loss(params, x[:, self.layout.places(size, x.shape[1])], {**cond, "mask": cond["mask"][:, :size]})

        if len(self.bounds) == 1:
            return loss(params, x, cond)
        kind = jnp.searchsorted(jnp.asarray(self.bounds), cond["mask"].sum(1).max())
        return _one_of(kind, [partial(cut, size) for size in self.bounds], params)


def _one_of(kind: Any, losses: list[Callable[[Any], Any]], params: Any) -> Any:
    """One of several losses of parameters, with its gradient: that of `lax.switch` would hold room for those of all."""

    @jax.custom_vjp
    def value(params: Any) -> Any:
        return jax.lax.switch(kind, losses, params)

    def forward(params: Any) -> Any:
        return jax.lax.switch(kind, [jax.value_and_grad(loss) for loss in losses], params)

    def backward(gradient: Any, of_value: Any) -> Any:
        return (jax.tree.map(lambda leaf: of_value.astype(leaf.dtype) * leaf, gradient),)

    value.defvjp(forward, backward)
    return value(params)
