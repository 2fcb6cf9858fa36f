"""Likelihood by the probability-flow ODE."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import log, prod
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from genkit.chain import callable_tree
from genkit.diffusion.denoiser import Denoiser, denoise, process_of
from genkit.diffusion.grids import check_levels, check_range
from genkit.diffusion.random import normals
from genkit.diffusion.samplers import integrate
from genkit.errors import GenkitError, UsageError

Array = jax.Array
Trace = Literal["exact", "rademacher", "gaussian"]
Solver = Literal["rk4", "heun", "tsit5", "dopri5"]


class Likelihood(NamedTuple):
    """What `log_likelihood` returns."""

    log_p: Array
    """(n,) log density of the data, nats"""
    latent: Array
    """(n, ...) where the flow ends, divided by the highest level: standard normal under the model"""


@dataclass(frozen=True)
class Divergence:
    """How the trace of the Jacobian is found."""

    trace: Trace = "exact"
    """`exact` needs one derivative a dimension; the others are unbiased estimates of Hutchinson 1990."""
    probes: int = 1
    """Random vectors of an estimate, the same along the whole path."""

    def draw(self, keys: Array, shape: tuple[int, ...], dtype: Any) -> Array:
        """Vectors (k, n, ...): unit vectors, or draws of which those of item i depend on keys[i] alone."""
        n, *item = shape
        if self.trace == "exact":
            unit = jnp.eye(prod(item), dtype=dtype).reshape(-1, 1, *item)
            return jnp.broadcast_to(unit, (unit.shape[0], *shape))
        drawn = normals(keys, (n, self.probes, *item)).astype(dtype)
        return jnp.moveaxis(jnp.sign(drawn) if self.trace == "rademacher" else drawn, 1, 0)

    def __call__(self, f: Callable, x: Array, vectors: Array) -> tuple[Array, Array]:
        """f(x) (n, ...) and the trace (n,) of each item's Jacobian, from vectors (k, n, ...)."""
        value, push = jax.linearize(f, x)
        products = jax.vmap(lambda v: (v * push(v)).reshape(v.shape[0], -1).sum(1))(vectors)
        return value, products.sum(0) if self.trace == "exact" else products.mean(0)


def log_likelihood(
    key: Array,
    x0: Array,
    denoiser: Denoiser,
    cond: Any = None,
    *,
    trace: Trace = "exact",
    probes: int = 1,
    solver: Solver = "rk4",
    steps: int = 100,
    tolerance: float = 1e-5,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
) -> Likelihood:
    """log p of data x0 (n, ...) under a denoiser, by the instantaneous change of variables.

    With y = x / alpha and u = log s the flow is dy/du = y - D(alpha y, t), and log p(y_0) = log N(y_T; 0, s_max^2 I) +
    int (d - tr dD/dy) du (Song et al. 2021, arXiv 2011.13456, eq. 39). The data are taken as states at `sigma_min`; the
    prior forgets the spread of the data against `sigma_max`, which costs about |x0|^2 / (2 sigma_max^2) nats.

    Args:
        key: one key, or keys (n,): then a value does not depend on the place of its item in the batch. Unused with the
            exact trace.
        x0: data (n, ...).
        denoiser: of items that do not see one another.
        cond: what it is conditioned on, leaves (n, ...), or None.
        trace: `exact` (one derivative a dimension), `rademacher` or `gaussian`, whose variances are 2 sum_{i != j}
            J_ij^2 and 2 |J|^2 for symmetric J.
        probes: random vectors of an estimate.
        solver: `rk4` or `heun` with `steps` equal steps in log s, or `tsit5`, `dopri5` with `tolerance`, where each
            item has its own steps.
        steps: see solver.
        tolerance: relative and absolute.
        sigma_min: level of the data.
        sigma_max: level of the prior.

    Raises GenkitError, outside jit, for likelihoods that are NaN.

    Differentiable in x0, cond and the denoiser's parameters; new values of them and of levels and tolerance compile
    nothing.
    """
    check_range(sigma_min, sigma_max)
    check_levels(process_of(denoiser), sigma_min, sigma_max)
    for what, value, known in (("trace", trace, Trace), ("solver", solver, Solver)):
        if value not in get_args(known):
            raise UsageError(f"unknown {what} {value!r}; known: {', '.join(get_args(known))}")
    if steps < 1 or probes < 1:
        raise UsageError(f"steps={steps}, probes={probes}: expected at least 1")
    keys = key if key.ndim else jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(x0.shape[0]))
    if keys.shape != x0.shape[:1]:
        raise UsageError(f"keys have shape {keys.shape}; expected () or {x0.shape[:1]}, one an item")
    ends = jnp.array([sigma_min, sigma_max, tolerance], x0.dtype)
    found = _log_likelihood(keys, x0, callable_tree(denoiser), cond, ends, Divergence(trace, probes), solver, steps)
    if not isinstance(found.log_p, Tracer) and (bad := int(np.isnan(found.log_p).sum())):
        raise GenkitError(
            f"{bad} of {x0.shape[0]} likelihoods are NaN: the denoiser returned NaN on the way, or {solver!r} "
            f"did not reach the end; try solver='rk4' or a larger tolerance than {tolerance:g}"
        )
    return found


@partial(jax.jit, static_argnames=("divergence", "solver", "steps"))
def _log_likelihood(
    keys: Array,
    x0: Array,
    denoiser: Denoiser,
    cond: Any,
    ends: Array,
    divergence: Divergence,
    solver: Solver,
    steps: int,
) -> Likelihood:
    process, size = process_of(denoiser), x0[0].size
    low, high = jnp.log(ends[0]), jnp.log(ends[1])
    vectors = divergence.draw(keys, x0.shape, x0.dtype)

    def slope(u: Array, carry: tuple[Array, Array], args: tuple[Any, Array]) -> tuple[Array, Array]:
        cond, vectors = args
        t = process.time(jnp.exp(u))
        d, trace = divergence(
            lambda y: denoise(denoiser, process.alpha(t).astype(y.dtype) * y, t, cond), carry[0], vectors
        )
        return carry[0] - d, size - trace

    start = (x0, jnp.zeros(x0.shape[0], x0.dtype))
    if solver in ("rk4", "heun"):
        y, change = _fixed(slope, solver, low, high, start, (cond, vectors), steps)
    else:

        def one(y: Array, cond: Any, vectors: Array) -> Any:
            single = jax.tree.map(lambda a: a[None], ((y, jnp.zeros((), y.dtype)), cond))
            ended = integrate(slope, solver, low, high, single[0], (single[1], vectors[:, None]), ends[2], ends[2])
            return jax.tree.map(lambda a: a[0], ended)

        y, change = jax.vmap(one, (0, 0, 1))(x0, cond, vectors)
    latent = y / ends[1]
    prior = -0.5 * (latent**2).reshape(x0.shape[0], -1).sum(1) - size * (0.5 * jnp.log(2 * jnp.pi) + high)
    return Likelihood(prior + change, latent)


def _fixed(slope: Callable, solver: Solver, low: Array, high: Array, start: Any, args: Any, steps: int) -> Any:
    """Equal steps of Heun's or the classical Runge-Kutta method."""
    h = (high - low) / steps

    def add(y: Any, *terms: tuple[Any, Any]) -> Any:
        for factor, k in terms:
            y = jax.tree.map(lambda a, b, f=factor: a + f * b, y, k)
        return y

    def heun(y: Any, u: Array) -> tuple[Any, None]:
        k1 = slope(u, y, args)
        k2 = slope(u + h, add(y, (h, k1)), args)
        return add(y, (h / 2, k1), (h / 2, k2)), None

    def rk4(y: Any, u: Array) -> tuple[Any, None]:
        def call(carry: Any, c: Array) -> Any:  # the four calls as one loop, so that the network is compiled once
            last, total = carry
            k = slope(u + c[0] * h, add(y, (c[0] * h, last)), args)
            return (k, add(total, (c[1] * h / 6, k))), None

        stages = jnp.array([[0.0, 1.0], [0.5, 2.0], [0.5, 2.0], [1.0, 1.0]], h.dtype)
        return jax.lax.scan(call, (jax.tree.map(jnp.zeros_like, y), y), stages)[0][1], None

    return jax.lax.scan(heun if solver == "heun" else rk4, start, low + h * jnp.arange(steps))[0]


def bits_per_dim(log_p: Array, size: int, scale: float = 1.0) -> Array:
    """Bits per dimension of log densities (nats) of items of `size` numbers: -log p / (size ln 2) + log2 scale.

    `scale` is the number of units of the quantity one wants per unit of the data: 127.5 for bytes scaled to [-1, 1].
    """
    return -log_p / (size * log(2.0)) + log(scale) / log(2.0)
