"""Exact moments of samplers on Gaussian data, where every step is affine: no Monte-Carlo."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from genkit.diffusion import process_of
from genkit.diffusion.samplers import Calls, Finish, LinearSampler, Particle, Step, Table
from genkit.errors import UsageError

Array = jax.Array


def gaussian_moments(sampler: LinearSampler | Table, denoiser: Any) -> tuple[Array, Array]:
    """Mean and variance () of the samples in one dimension, to rounding.

    With an affine `denoiser` (that of a Gaussian, or a difference of such) the particle, its state with the denoised
    values that it carries, goes through v' = J v + c + b eps; mean and covariance are followed through all steps. J is
    found by differentiating the kernel itself. Use it within `jax.enable_x64(True)` for exact figures.
    """
    table = sampler if isinstance(sampler, Table) else sampler.table(process_of(denoiser))
    if not isinstance(table, Table):
        raise UsageError(
            f"{type(sampler).__name__} is not linear in the state; moments are followed for those that are"
        )
    stages = table.model(denoiser, (1,)).stages
    return _moments(denoiser, table, stages[0][1], isinstance(stages[-1][0], Finish))


@partial(jax.jit, static_argnames="final")
def _moments(denoiser: Any, table: Table, steps: Calls, final: bool) -> tuple[Array, Array]:
    def at(x: Array, t: Any) -> Array:
        return denoiser(x[None], jnp.asarray(t, x.dtype))[0]

    def slope(t: Any) -> Array:
        return jax.grad(at)(jnp.zeros(()), t)

    past = steps.history.shape[-1] - 1
    keys, kernel = jax.random.split(jax.random.key(0), 1), Step(denoiser, None)

    def quiet(v: Array, u: Calls) -> Array:
        """The step without noise, of the vector (state, denoised, past ...)."""
        p = Particle(v[:1], v[1:2], tuple(v[2 + k : 3 + k] for k in range(past)))
        p1 = kernel.move(keys, p, replace(u, noise=None))
        return jnp.concatenate([p1.x, p1.denoised, *p1.past])

    def body(carry: tuple[Array, Array], u: Calls) -> tuple[tuple[Array, Array], None]:
        mean, cov = carry
        jacobian = jax.jacfwd(quiet)(mean, u)
        cov = jacobian @ cov @ jacobian.T
        if u.noise is not None:
            b = u.noise[-1] * jnp.array([1.0, slope(u.time[-1]), *[0.0] * past])
            cov = cov + jnp.outer(b, b)
        return (quiet(mean, u), cov), None

    zero = jnp.zeros(())
    variance = jnp.asarray(table.std) ** 2 + (0.0 if table.churn is None else jnp.asarray(table.churn) ** 2)
    direction = jnp.array([1.0, *[slope(table.time)] * (past + 1)])
    first = jnp.array([0.0, *[at(zero, table.time)] * (past + 1)]), variance * jnp.outer(direction, direction)
    (mean, cov), _ = jax.lax.scan(body, first, jax.tree.map(jnp.asarray, steps))
    return mean[int(final)], cov[int(final), int(final)]
