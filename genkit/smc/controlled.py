"""Controlled SMC: twisting functions learned from runs, each by regression on the one before."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import Resampler
from genkit.errors import UsageError
from genkit.smc.smoothing import Populations, populations
from genkit.smc.twisting import NormalChain, Quadratic, twist_normal

Array = jax.Array
RIDGE = 1e-6


def controlled(key: Array, chain: NormalChain, n: int, iterations: int, resample: Resampler) -> tuple[Quadratic, Array]:
    """Quadratic twisting functions for a chain of normal moves, in the class of which the best one is sought.

    Each run of n particles, twisted by what was learned so far (the first by nothing), gives samples on which log psi_t
    is fitted, from the last time back, to log G_t + log M_{t+1}(psi_{t+1}) by least squares: approximate dynamic
    programming of Heng, Bishop, Deligiannidis, Doucet 2020 (arXiv 1708.08396), without the residual form, which has
    the same fit in this class; the iterated auxiliary particle filter of Guarniero, Johansen, Lee 2017 fits psi in
    place of log psi. Where log G_t is quadratic two runs find the optimal ones. Coordinates of a particle have no
    products of theirs; an upward curvature is set to zero, so that moves stay normal.

    Args:
        key: the key of all runs.
        chain: the chain; `chain.model(psi)` is then the sampler.
        n: number of particles, more than twice the coordinates of one.
        iterations: how many runs.
        resample: the resampler.

    Returns:
        psi, leaves (T, ...), and log_z of each run (iterations,). psi depends on the runs: an unbiased estimate of Z
        takes a new key.
    """
    steps, shape = jax.tree.leaves(chain.inputs)[0].shape[0], jnp.shape(chain.mean)
    if n <= 2 * np.prod(shape) or iterations < 1:
        d = int(np.prod(shape))
        raise UsageError(f"n={n} must be more than twice the {d} coordinates, iterations={iterations} at least 1")
    nothing = Quadratic(jnp.zeros((steps, *shape)), jnp.zeros((steps, *shape)), jnp.zeros(steps))

    def one(psi: Quadratic, key: Array) -> tuple[Quadratic, Array]:
        seen, end = populations(key, chain.model(psi), n, resample)
        return fit(chain, seen), end.log_z

    return jax.lax.scan(one, nothing, jax.random.split(key, iterations))


def fit(chain: NormalChain, seen: Populations) -> Quadratic:
    """psi, leaves (T, ...), by least squares on the particles of a run, from the last time back."""
    parents = jax.vmap(lambda p, a: p[a])(seen.p[:-1], seen.ancestors[1:])
    kernel = chain.kernel
    first = kernel.log_g(None, seen.p[0], jax.tree.map(lambda a: a[0], chain.inputs))
    later = jax.vmap(kernel.log_g)(parents, seen.p[1:], jax.tree.map(lambda a: a[1:], chain.inputs))
    log_g = jnp.concatenate([first[None], later])

    last = regress(seen.p[-1], log_g[-1])

    def one(ahead: Quadratic, x: Any) -> tuple[Quadratic, Quadratic]:
        p, log_g, u = x
        mean, std = kernel.normal(p, u)
        psi = regress(p, log_g + twist_normal(mean, std, ahead)[2])
        return psi, psi

    inputs = jax.tree.map(lambda a: jnp.asarray(a)[1:], chain.inputs)
    psi = jax.lax.scan(one, last, (seen.p[:-1], log_g[:-1], inputs), reverse=True)[1]
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b[None]]), psi, last)


def regress(x: Array, target: Array) -> Quadratic:
    """The concave quadratic nearest to the target (n,) at x (n, ...); where that is -inf it is left out."""
    flat = x.reshape(x.shape[0], -1)
    mean, std = flat.mean(0), jnp.maximum(flat.std(0), 1e-6)
    z = (flat - mean) / std
    there = jnp.isfinite(target)
    features = jnp.concatenate([jnp.ones_like(z[:, :1]), z, z**2 - 1], 1) * there[:, None]
    gram = features.T @ features
    weights = jnp.linalg.solve(
        gram + RIDGE * jnp.eye(len(gram)) * jnp.trace(gram) / len(gram), features.T @ jnp.where(there, target, 0.0)
    )
    d = flat.shape[1]
    a, b = weights[0], weights[1 : d + 1]
    c = jnp.minimum(weights[d + 1 :], 0.0)
    precision = -2 * c / std**2
    shift = b / std + precision * mean
    const = a - c.sum() - (b * mean / std).sum() - 0.5 * (precision * mean**2).sum()
    back = partial(jnp.reshape, shape=x.shape[1:])
    return Quadratic(back(precision), back(shift), const)
