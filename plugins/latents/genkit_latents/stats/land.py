"""LAND: locally adaptive normal distributions and mixtures of them (Arvanitidis et al. 2016, arXiv 1606.02518)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import particle_keys
from genkit.errors import GenkitError, UsageError
from genkit.model import CSV, NPZ, Piece, Request, Trained
from genkit.tree import register_dataclass
from genkit_latents.data import Points

Array = jax.Array
LOG_2PI = 1.8378770664093453


@register_dataclass
@dataclass(frozen=True)
class Land:
    """p(x) = exp(-<log x, Sigma^-1 log x> / 2) / C, log and Sigma in the orthonormal frame at the mean.

    The density is with respect to the Riemannian volume, and C = (2 pi)^(d/2) sqrt(det Sigma) E[J(v)], v ~ N(0, Sigma),
    with the full Jacobian J of exp. `exact=False` leaves the Jacobi fields out and keeps the volume density alone, as
    the reference implementation does; that is not a density with respect to any fixed measure.
    """

    manifold: Any
    mean: Array
    """(*shape)"""
    root: Array
    """(dim, dim) A with Sigma = A A'"""
    exact: bool = field(default=True, metadata={"static": True})

    def widening(self, a: Array) -> Array:
        """log J at the tangent vector with components a (dim,)."""
        v = self.manifold.vector(self.mean, a)
        if self.exact:
            return self.manifold.log_jacobian(self.mean, v)
        volume = lambda z: 0.5 * jnp.linalg.slogdet(self.manifold.G(z))[1]  # noqa: E731
        return volume(self.manifold.exp(self.mean, v)) - volume(self.mean)

    def log_normaliser(self, noise: Array) -> Array:
        """log C from standard normals (s, dim), which are kept fixed in a fit."""
        d = self.manifold.dim
        widening = jax.vmap(self.widening)(noise @ self.root.T)
        flat = 0.5 * d * LOG_2PI + jnp.linalg.slogdet(self.root)[1]
        return flat + jax.nn.logsumexp(widening) - jnp.log(noise.shape[0])

    def log_kernel(self, x: Array) -> Array:
        """log density at x (*shape), without the normaliser."""
        a = self.manifold.components(self.mean, self.manifold.log(self.mean, x))
        return -0.5 * jnp.square(jnp.linalg.solve(self.root, a)).sum()

    def sample(self, key: Array, n: int, proposals: int = 20) -> Array:
        """n points (n, *shape), resampled from `proposals` n wrapped normals by the weights J."""
        one, two = jax.random.split(key)
        a = jax.random.normal(one, (proposals * n, self.manifold.dim)) @ self.root.T
        chosen = a[jax.random.categorical(two, jax.vmap(self.widening)(a), shape=(n,))]
        return jax.vmap(lambda a: self.manifold.exp(self.mean, self.manifold.vector(self.mean, a)))(chosen)


@dataclass(frozen=True)
class DrawMixture(Request):
    """Draw points of the mixture, each out of wrapped normals by the weights J of `Land`."""

    formats: ClassVar[dict[str, str]] = {".npz": NPZ, ".csv": CSV}

    proposals: int = 50
    """Wrapped normals out of which a point is drawn; with few the law is between theirs and the mixture's."""

    def __post_init__(self) -> None:
        """Check the number."""
        if self.proposals < 1:
            raise UsageError(f"proposals={self.proposals} are too few; expected at least 1")

    def __call__(self, model: Any, key: Array, n: int, chunk: int = 256) -> Iterator[Piece]:
        """Pieces of `samples` (n, *shape)."""
        size = min(n, chunk)
        for first in range(0, n, size):
            keys = particle_keys(key, first + jnp.arange(size))  # every chunk is the same program
            yield {"samples": np.asarray(_drawn(model, keys, self.proposals))[: n - first]}


@register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class LandFit(Trained):
    """A mixture of LANDs."""

    request: ClassVar[type[Request]] = DrawMixture

    components: Land
    """leaves with a leading axis (k,)"""
    weights: Array
    """(k,)"""
    log_likelihood: Array
    """(iterations + 1,) mean over the data, the best so far"""
    noise: Array
    """(s, dim) of the normalisers"""

    def check(self, data: Points) -> None:
        """Refuse points of another space."""
        shape = self.components.manifold.shape
        if data.train.shape[1:] != shape:
            raise UsageError(f"{self!r} is a model of points {shape}; {data.source} has {data.train.shape[1:]}")

    @jax.jit
    def log_prob(self, x: Array) -> Array:
        """Log density (n,) of points (n, *shape), with respect to the volume."""
        return jax.nn.logsumexp(_joint(self.components, self.weights, self.noise, x), 0)


@partial(jax.jit, static_argnums=2)
def _drawn(model: LandFit, keys: Array, proposals: int) -> Array:
    def one(key: Array) -> Array:
        which, how = jax.random.split(key)
        k = jax.random.categorical(which, jnp.log(model.weights))
        parts = model.components
        return Land(parts.manifold, parts.mean[k], parts.root[k], parts.exact).sample(how, 1, proposals)[0]

    return jax.vmap(one)(keys)


def _joint(parts: Land, weights: Array, noise: Array, x: Array) -> Array:
    """log w_k p_k(x_n), (k, n)."""

    def one(part: Land, w: Array) -> Array:
        return jnp.log(w) - part.log_normaliser(noise) + jax.vmap(part.log_kernel)(x)

    return jax.vmap(one, (_axes(parts), 0))(parts, weights)


def _axes(parts: Land) -> Any:
    """Leading axes of a stack of components: mean and root have them, the manifold has none."""
    return Land(jax.tree.map(lambda _: None, parts.manifold), 0, 0, parts.exact)  # type: ignore[arg-type]


def fit_land(
    manifold: Any,
    x: Any,
    k: int = 1,
    *,
    key: Array,
    means: Any = None,
    iterations: int = 40,
    samples: int = 200,
    step: float = 0.3,
    exact: bool = True,
) -> LandFit:
    """Fit a mixture of k LANDs to x (n, *shape) by expectation maximisation; the log-likelihood is reported.

    In the M step mean and root of each component take one natural-gradient step on the expected log-likelihood, whose
    normaliser is that of fixed noise: mean <- exp(step (E_r log - E_J v)), and A by the difference of the same second
    moments. Both are estimates, and for a Sigma that is not round the first is not quite a gradient (as in the paper),
    so the likelihood may fall: then the step is halved, and what is returned is the best that was met. A step to where
    a logarithm is not found is taken back. Raises `GenkitError` where one is not found at the start.

    Args:
        manifold: a closed form, or `Numeric` for any metric.
        x: data.
        k: components.
        key: of the noise.
        means: where to begin (k, *shape); else medoids.
        iterations: of EM.
        samples: normals for each normaliser.
        step: the first one, in (0, 1].
        exact: see `Land`.
    """
    from genkit_latents.stats.cluster import kmedoids

    x = jnp.asarray(x)
    if not 0 < step <= 1:
        raise UsageError(f"step={step}; expected 0 < step <= 1")
    flat = np.asarray(x).reshape(len(x), -1)
    if means is None:
        means = x[kmedoids(np.linalg.norm(flat[:, None] - flat[None], axis=-1), k).centres]
    noise = jax.random.normal(key, (samples, manifold.dim), x.dtype)
    noise = jnp.concatenate([noise, -noise])
    state = _start(manifold, x, jnp.asarray(means, x.dtype), exact)
    (parts, weights), history = _em(state, x, noise, iterations, step)
    if not np.isfinite(np.asarray(history)).all():
        raise GenkitError(
            "LAND: a logarithm or a normaliser is not finite; use a solver with more segments, or start elsewhere"
        )
    return LandFit(parts, weights, history, noise)


@partial(jax.jit, static_argnums=3)
def _start(manifold: Any, x: Array, means: Array, exact: bool) -> tuple[Land, Array]:
    """Equal weights, and covariances of the points by inverse distance."""

    def one(m: Array) -> tuple[Array, Array]:
        a = jax.vmap(lambda y: manifold.components(m, manifold.log(m, y)))(x)
        return a, jnp.linalg.norm(a, axis=1)

    a, r = jax.vmap(one)(means)
    share = 1 / (r + 1e-3 * r.mean())
    share = share / share.sum(0)
    moments = jnp.einsum("kn,kni,knj->kij", share, a, a) / share.sum(1)[:, None, None]
    eye = jnp.eye(manifold.dim, dtype=x.dtype)
    roots = jnp.linalg.cholesky(moments + 1e-6 * jnp.trace(moments, axis1=1, axis2=2)[:, None, None] * eye)
    k = means.shape[0]
    return Land(manifold, means, roots, exact), jnp.full(k, 1 / k, x.dtype)


@partial(jax.jit, static_argnums=3)
def _em(state: tuple[Land, Array], x: Array, noise: Array, iterations: int, step: float) -> Any:
    first, weights = state
    axes = _axes(first)

    def parts_of(means: Array, roots: Array) -> Land:
        return Land(first.manifold, means, roots, first.exact)

    def tangents(part: Land) -> Array:
        return jax.vmap(lambda y: part.manifold.components(part.mean, part.manifold.log(part.mean, y)))(x)

    def measure(means: Array, roots: Array, weights: Array) -> tuple[Array, Array, Array]:
        """Log-likelihood (), responsibilities (k, n) and logarithms (k, n, dim)."""
        parts = parts_of(means, roots)
        a = jax.vmap(tangents, (axes,))(parts)
        kernel = -0.5 * jnp.square(jax.vmap(jnp.linalg.solve)(roots, jnp.swapaxes(a, 1, 2))).sum(1)
        normal = jax.vmap(lambda part: part.log_normaliser(noise), (axes,))(parts)
        joint = jnp.log(weights)[:, None] - normal[:, None] + kernel
        likelihood = jax.nn.logsumexp(joint, 0)
        return likelihood.mean(), jnp.exp(joint - likelihood), a

    def move(part: Land, r: Array, a: Array, size: Array) -> tuple[Array, Array]:
        manifold = part.manifold
        u = noise @ part.root.T
        share = jax.nn.softmax(jax.vmap(part.widening)(u))
        r = r / r.sum()
        gain = r @ a - share @ u
        white = jnp.linalg.solve(part.root, a.T).T
        second = jnp.einsum("n,ni,nj->ij", r, white, white) - jnp.einsum("s,si,sj->ij", share, noise, noise)
        root = part.root @ jax.scipy.linalg.expm(0.5 * size * second)
        mean = manifold.exp(part.mean, manifold.vector(part.mean, size * gain))
        # the frame at the new mean differs from the transported one by a rotation
        carried = jax.vmap(lambda e: manifold.transport(part.mean, mean, e))(manifold.frame(part.mean))
        turn = jax.vmap(lambda e: manifold.components(mean, e))(carried).T
        return mean, turn @ root

    def once(carry: Any, moves: Array) -> Any:  # moves is 0 to measure the start, else 1
        now, last, best, size = carry
        (means, roots, _), (r, a) = now
        means, roots = jax.vmap(move, (axes, 0, 0, None))(parts_of(means, roots), r, a, moves * size)
        numbers = (means, roots, r.mean(1))
        value, *rest = measure(*numbers)
        found = jnp.isfinite(value)
        now = jax.tree.map(partial(jnp.where, found), (numbers, tuple(rest)), now)
        best = jax.tree.map(partial(jnp.where, value > best[0]), (value, numbers), best)
        size = jnp.where(value >= last, jnp.minimum((1 + 0.2 * moves) * size, 1), 0.5 * size)
        return (now, jnp.where(found, value, last), best, size), best[0]

    k, n = len(weights), len(x)
    numbers = first.mean, first.root, weights
    unknown = jnp.broadcast_to(weights[:, None], (k, n)), jnp.zeros((k, n, first.manifold.dim), x.dtype)
    least = jnp.asarray(-jnp.inf, x.dtype)
    start = (numbers, unknown), least, (least, numbers), jnp.asarray(step, x.dtype)
    tries = jnp.minimum(jnp.arange(iterations + 1, dtype=x.dtype), 1)
    (_, _, (_, (means, roots, weights)), _), history = jax.lax.scan(once, start, tries)
    return (parts_of(means, roots), weights), history
