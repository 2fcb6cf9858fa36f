"""Ratios of normalising constants from samples of two densities."""

import jax
import jax.numpy as jnp

Array = jax.Array


def bridge(here: Array, there: Array) -> tuple[Array, Array]:
    """log of Z_1 / Z_0 and its standard error: the optimal bridge of Bennett 1976, Meng and Wong 1996.

    r solves mean of s(u - r) over samples of p_0 = mean of s(r - u) over samples of p_1, s the logistic function and
    u = log p_1 - log p_0. The error is that of independent samples.

    Args:
        here: (n,) u at samples of p_0; -inf where p_1 is zero.
        there: (n,) u at as many samples of p_1; +inf where p_0 is zero.
    """
    n = here.shape[0]

    def excess(r: Array) -> Array:  # falls with r
        return jax.nn.sigmoid(here - r).mean() - jax.nn.sigmoid(r - there).mean()

    finite = jnp.concatenate([jnp.where(jnp.isfinite(a), a, jnp.nan) for a in (here, there)])
    low, high = jnp.nanmin(finite), jnp.nanmax(finite)

    def halve(_: int, interval: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = interval
        mid = (low + high) / 2
        above = excess(mid) > 0
        return jnp.where(above, mid, low), jnp.where(above, high, mid)

    # s(u - r) is not above 1, so that r is at most log(n) beyond any u
    low, high = jax.lax.fori_loop(0, 60, halve, (low - jnp.log(n) - 1, high + jnp.log(n) + 1))
    r = (low + high) / 2
    a, b = jax.nn.sigmoid(here - r), jax.nn.sigmoid(r - there)
    slope = (a * (1 - a)).mean() + (b * (1 - b)).mean()
    return r, jnp.sqrt((a.var() + b.var()) / n) / slope
