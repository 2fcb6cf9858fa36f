"""What a field is trained to be: the velocity of geodesics (flow matching) or a score.

A method has

    loss(field, base, key, x0 (n, *shape)) -> (n,)   losses of data
    velocity(field, base, x, t) -> (*shape)      of the ODE that leads from data at t = 0 to noise at t = 1
    begins                                       the first time, where the data are
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp

from genkit.diffusion import VP
from genkit.errors import UsageError
from genkit_latents import safe
from genkit_latents.distributions import Uniform, sphere_heat_kernel, walk
from genkit_latents.flows.field import divergence
from genkit_latents.flows.spectral import path
from genkit_latents.geometry.manifolds import Sphere

Array = jax.Array
Tangent = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class FlowMatching:
    """Riemannian flow matching (Chen and Lipman 2024, arXiv 2302.03660).

    Along geodesics x_t = exp_x0(t log_x0(x1)) from data x0 to noise x1, on manifolds whose exp and log have closed
    forms, compact or not; or along the paths of a premetric, which are simulated. The field is the mean of dx_t / dt.
    """

    premetric: Any = None
    """`Spectral`, or another with `half_square(manifold, x, y)`; None for geodesics."""
    steps: int = 200
    """Of the simulation of a path of a premetric."""

    def __post_init__(self) -> None:
        """Check the steps."""
        if self.steps < 1:
            raise UsageError(f"steps={self.steps}; expected at least 1")

    @property
    def begins(self) -> float:
        """The data themselves."""
        return 0.0

    def loss(self, field: Any, base: Any, key: Array, x0: Array) -> Array:
        """|v(x_t, t) - dx_t / dt|^2 in the metric, t uniform."""
        one, two = jax.random.split(key)
        n, manifold = x0.shape[0], field.manifold
        t = (jax.random.uniform(one) + jnp.arange(n) / n) % 1.0  # evenly spread over the batch
        x1 = base.sample(two, n)

        def each(x0: Array, x1: Array, t: Array) -> Array:
            if self.premetric is None:
                v = manifold.log(x0, x1)
                x, u = jax.jvp(lambda t: manifold.exp(x0, t * v), (t,), (jnp.ones_like(t),))
            else:
                x, u = path(self.premetric, manifold, x0, x1, t, self.steps)
            gap = field(x, t) - u
            return manifold.inner(x, gap, gap)

        return jax.vmap(each)(x0, x1, t)

    def velocity(self, field: Tangent, base: Any, x: Array, t: Array) -> Array:
        """The field."""
        return field(x, t)


@dataclass(frozen=True)
class ScoreMatching:
    """Riemannian score-based model (De Bortoli et al. 2022, arXiv 2202.02763).

    Noise is a diffusion for the time B(t) of a linear schedule, drawn as a geodesic random walk, whose limit is the
    base: Brownian motion where that is uniform, else Langevin's with the drift `pull`, for manifolds that are not
    compact. The score is field / std with std^2 = 1 - exp(-B). Losses, weighed by std^2: `dsm`, |s - grad log p_t|0|^2
    with the heat kernel of the unit sphere; `ism`, |s|^2 + 2 div s, for any manifold and base.
    """

    process: VP = field(default=VP(b0=1e-3, b1=5.0))
    """Its `integral` is the time of the Brownian motion, its `t_min` where the data are taken to be."""
    kind: Literal["dsm", "ism"] = "dsm"
    """The loss."""
    walk: int = 50
    """Steps of the random walk."""

    @property
    def begins(self) -> float:
        """The lowest time of the process."""
        return self.process.t_min

    def score(self, field: Tangent, x: Array, t: Array) -> Array:
        """grad log p_t at x."""
        b = self.process.integral(t)
        return field(x, 0.25 * jnp.log(b)) / jnp.sqrt(-jnp.expm1(-b))

    def loss(self, field: Any, base: Any, key: Array, x0: Array) -> Array:
        """See the class; t uniform from `begins` to 1."""
        manifold = field.manifold
        if self.kind == "dsm":
            if not (isinstance(manifold, Sphere) and manifold.radius == 1 and isinstance(base, Uniform)):
                raise UsageError(
                    f"denoising needs the heat kernel of the unit sphere; with {manifold} use the loss ism"
                )
        one, two = jax.random.split(key)
        n, first = x0.shape[0], self.process.t_min
        t = first + (1 - first) * ((jax.random.uniform(one) + jnp.arange(n) / n) % 1.0)

        drift = None if isinstance(base, Uniform) else lambda x: pull(base, x)

        def each(key: Array, x0: Array, t: Array) -> Array:
            b = self.process.integral(t)
            x = walk(manifold, key, x0, b, self.walk, drift)
            variance = -jnp.expm1(-b)
            if self.kind == "dsm":
                gap = self.score(field, x, t) - kernel_score(manifold, x0, x, b)
                return variance * manifold.inner(x, gap, gap)
            s, div = divergence(manifold, lambda y: self.score(field, y, t), x)
            return variance * (manifold.inner(x, s, s) + 2 * div)

        return jax.vmap(each)(jax.random.split(two, n), x0, t)

    def velocity(self, field: Tangent, base: Any, x: Array, t: Array) -> Array:
        """B'(t) (pull - score / 2), the probability flow."""
        _, rate = jax.jvp(self.process.integral, (t,), (jnp.ones_like(t),))
        return rate * (pull(base, x) - 0.5 * self.score(field, x, t))


def pull(base: Any, x: Array) -> Array:
    """grad log p / 2 at x (*shape): the drift with which Brownian motion has the base as its limit."""
    if isinstance(base, Uniform):
        return jnp.zeros_like(x)
    return 0.5 * base.manifold.gradient(x, jax.grad(base.log_prob)(x))


def kernel_score(sphere: Sphere, x0: Array, x: Array, t: Array) -> Array:
    """Gradient in x of the log heat kernel from x0 after time t, on the unit sphere.

    From the series in cos(r), whose gradient is smooth at r = 0; below t = 0.05, and where the series is lost in
    rounding, from the short-time form -r^2 / 2t - (d - 1) / 2 log(sin(r) / r).
    """
    d, square = sphere.dim, jnp.square(sphere.dist(x0, x))
    widening = jax.grad(safe.log_sinc)(jnp.minimum(square, 9.8))  # pi^2 = 9.87
    short = (1 / t + (d - 1) * widening) * sphere.log(x, x0)
    cos = safe.dot(x, x0)
    p, slope = jax.value_and_grad(sphere_heat_kernel)(cos, jnp.maximum(t, 0.05), d)
    series = slope / jnp.maximum(p, 1e-5) * sphere.tangent(x, x0)
    return jnp.where((t < 0.05) | (p < 1e-5), short, series)
