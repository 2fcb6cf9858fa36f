"""`check_denoiser`: what samplers and losses expect of a denoiser, trained or exact."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from genkit.chain import callable_tree
from genkit.testing.require import Count, claim, near, part, require, varied


def check_denoiser(denoiser: Any, shape: tuple[int, ...], cond: Any = None) -> None:
    """Raise AssertionError unless (x, t, cond) -> E[x_0 | x_t] can be used by every sampler.

    The answer has the shape and type of x; a time () means the same as (n,) equal ones; each item is treated
    alone, whatever the others are; parameters are leaves of a pytree, so that new ones compile nothing.

    Args:
        denoiser: a pytree callable or a plain function.
        shape: (n, ...) of x, with n at least 2.
        cond: what it is conditioned on, leaves (n, ...), or None.
    """
    name, n = getattr(denoiser, "__name__", type(denoiser).__name__), shape[0]
    x, t = jax.random.normal(jax.random.key(0), shape), jnp.linspace(0.2, 0.8, n)
    count = Count()

    @jax.jit
    def program(denoiser: Any, x: jax.Array, t: jax.Array, cond: Any) -> jax.Array:
        count.traces += 1
        return denoiser(x, t, cond)

    def answer(x: jax.Array, t: jax.Array, cond: Any = cond, denoiser: Any = denoiser) -> jax.Array:
        with claim(f"{name} cannot be called under jit with x {x.shape} and float time {t.shape}"):
            return program(callable_tree(denoiser), x, t, cond)

    d = answer(x, t)
    require(d.shape == x.shape, f"{name} returned shape {d.shape} for x of shape {x.shape}; it returns x_0 like x")
    require(d.dtype == x.dtype, f"{name} returned {d.dtype} for {x.dtype}; cast the network's output")
    require(jnp.isfinite(d).all(), f"{name} returned values that are not finite")
    require(near(answer(x, t[0]), answer(x, jnp.full(n, t[0])), 1e-3), f"{name} takes a time () for another than (n,)")
    back = slice(None, None, -1)
    require(
        near(answer(part(x, back), part(t, back), part(cond, back)), part(d, back), 1e-3),
        f"{name} gives other answers when the items change places; treat them alike",
    )
    others = answer(x.at[1:].multiply(-2.0), t.at[1:].multiply(0.5), jax.tree.map(lambda c: c.at[1:].set(c[:1]), cond))
    require(near(others[0], d[0], 1e-3), f"{name} lets items depend on each other; use no statistics of the batch")
    before = count.traces
    answer(x, t, denoiser=varied(denoiser))
    require(count.traces == before, f"{name} compiles again for new parameters; register them as leaves, not static")
