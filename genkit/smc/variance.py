"""How accurate a run was, told from the run itself: variance from the genealogy."""

from typing import Any

import jax
import jax.numpy as jnp

from genkit.chain import State

Array = jax.Array


def variance(log_w: Array, eve: Array, phi: Array) -> Array:
    """Estimated variance of sum_i W_i phi_i: Chan and Lai 2013.

    Sum over founders b of (sum_{i from b} W_i (phi_i - mean))^2. Too small once few founders are left, zero with one;
    then `founders` of some steps ago in place of `State.eve` gives the estimate of Olsson and Douc 2019.

    Args:
        log_w: (n,) normalised.
        eve: (n,) int, below n.
        phi: (n, ...).

    Returns:
        (...)
    """
    w = jnp.exp(log_w).reshape(-1, *(1,) * (phi.ndim - 1))
    terms = w * (phi - (w * phi).sum(0))
    return (jax.ops.segment_sum(terms, eve, log_w.shape[0]) ** 2).sum(0)


def evidence_variance(log_w: Array, eve: Array, resampled: Array | int) -> Array:
    """Estimated variance of Z over Z^2, nearly that of log Z: Lee and Whiteley 2018.

    Times Z^2 it is unbiased for multinomial resampling, and therefore negative now and then; after other schemes it
    means nothing. `log_z_variance` knows the difference.

    Args:
        log_w: (n,) normalised.
        eve: (n,) int, below n.
        resampled: how many times the run resampled.
    """
    n = log_w.shape[0]
    share = jax.ops.segment_sum(jnp.exp(log_w), eve, n)
    excess = jnp.expm1((resampled + 1.0) * jnp.log1p(1 / (n - 1)))  # of (n / (n - 1))^(resampled + 1) over 1
    return (1 + excess) * (share**2).sum() - excess


def log_z_variance(state: State, resampled: Array | int, resampler: Any) -> Array:
    """Estimated variance () of `log_z` from one run, by `evidence_variance`; NaN where the run does not tell it.

    The estimate takes away what resampling adds, as if each child were drawn independently. With other schemes that is
    too much, mostly more than there is, so there is none once they have resampled; nor with one particle, for weights
    that are all zero, and where it is not positive. Then resample by the scheme `multinomial`, take more particles, or
    repeat the run and look at the spread.

    Args:
        state: the last one, particles in the places in which they began.
        resampled: how many times the run resampled.
        resampler: that of the run, None if there was none.
    """
    if state.log_w.shape[0] < 2:
        return jnp.full((), jnp.nan, state.log_w.dtype)
    found = evidence_variance(state.log_w, state.eve, resampled)
    told = (found > 0) & ~state.collapsed
    if not getattr(resampler, "independent", False):
        told &= jnp.asarray(resampled) == 0
    return jnp.where(told, found, jnp.nan)


def founders(ancestors: Array, lag: int) -> Array:
    """(n,) places of the ancestors `lag` steps before the end, from kept `State.ancestors` (T, n); T at most."""
    n = ancestors.shape[1]
    back = ancestors[max(ancestors.shape[0] - lag, 0) :]
    return jax.lax.scan(lambda place, a: (a[place], None), jnp.arange(n), back, reverse=True)[0]
