"""A trained field as a generative model: samples by a chain, densities by the change of variables."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import Kernel, Model, draw
from genkit.errors import UsageError
from genkit.model import CSV, NPZ, Piece, Request, Trained
from genkit.tree import register_dataclass
from genkit_latents.data import OnManifold
from genkit_latents.flows.field import divergence
from genkit_latents.flows.matching import FlowMatching, ScoreMatching, pull
from genkit_latents.geometry import as_tree

Array = jax.Array


@dataclass(frozen=True)
class DrawPoints(Request):
    """Draw points of the manifold."""

    formats: ClassVar[dict[str, str]] = {".npz": NPZ, ".csv": CSV}

    steps: int | None = None
    """Steps in time; as many as in its training's study if not given."""
    noisy: bool = False
    """Draw by the reverse random walk of a score, in place of the ODE."""

    def __post_init__(self) -> None:
        """Check the steps."""
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"steps={self.steps} is too few; expected at least 1")

    def __call__(self, model: Any, key: jax.Array, n: int, chunk: int = 256) -> Iterator[Piece]:
        """Pieces of `samples` (n, *shape)."""
        size, chain = min(n, chunk), model.chain(self.steps or model.steps, self.noisy)
        for first in range(0, n, size):
            x = draw(key, chain, size, slots=jnp.arange(first, first + size))  # every chunk is the same program
            yield {"samples": np.asarray(x)[: n - first]}


@register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class ManifoldModel(Trained):
    """A field with its meaning; noise comes from `base`, a distribution with `sample` and `log_prob`."""

    request: ClassVar[type[Request]] = DrawPoints

    field: Any
    """(x (*shape), t ()) -> a tangent vector; a plain function cannot be saved"""
    base: Any
    method: FlowMatching | ScoreMatching = dataclasses.field(metadata={"static": True})
    steps: int = dataclasses.field(default=100, metadata={"static": True})
    """Runge-Kutta steps of densities and samples"""

    @property
    def manifold(self) -> Any:
        """Where the data live."""
        return self.base.manifold

    def __post_init__(self) -> None:
        """A plain function becomes a pytree without leaves."""
        object.__setattr__(self, "field", as_tree(self.field))

    def check(self, data: OnManifold) -> None:
        """Refuse points of another shape."""
        if data.train.shape[1:] != self.manifold.shape:
            raise UsageError(
                f"{self!r} is a model of points {self.manifold.shape}; {data.source} has points {data.train.shape[1:]}"
            )

    def times(self, steps: int) -> np.ndarray:
        """(steps + 1,) from the data to 1, denser at the data, where the field changes fastest."""
        if steps < 1:
            raise UsageError(f"steps={steps}; expected at least 1")
        first = self.method.begins
        return (first + (1 - first) * np.linspace(0, 1, steps + 1) ** 2).astype(np.float32)

    def log_prob(self, x: Array, steps: int | None = None) -> Array:
        """Log densities (n,) of points (n, *shape) with respect to the volume: log p_1 + int div v dt."""
        return _log_prob(self, x, jnp.asarray(self.times(steps or self.steps)))

    def chain(self, steps: int, noisy: bool = False) -> Model:
        """The ODE, or with `noisy` the reverse geodesic random walk of a score, for `genkit.chain` and `genkit.smc`."""
        if noisy and not isinstance(self.method, ScoreMatching):
            raise UsageError("only a score-based model has a reverse random walk; flow matching is sampled by its ODE")
        t = jnp.asarray(self.times(steps)[::-1].copy())
        kernel = ReverseWalk(self) if noisy else Ride(self)
        return Model(jax.tree_util.Partial(_begin, self.base), ((kernel, (t[:-1], t[1:])),))


def _begin(base: Any, keys: Array) -> tuple[Array, None]:
    return jax.vmap(lambda key: base.sample(key, 1)[0])(keys), None


def runge_kutta(model: ManifoldModel, x: Array, t0: Array, t1: Array, track: bool) -> tuple[Array, Array]:
    """One classical step in ambient coordinates, put back on the manifold; and the integral of div v."""
    manifold, h = model.manifold, t1 - t0

    def slope(x: Array, t: Array) -> tuple[Array, Array]:
        on = manifold.project(x)
        v = lambda y: model.method.velocity(model.field, model.base, y, t)  # noqa: E731
        return divergence(manifold, v, on) if track else (v(on), jnp.zeros((), x.dtype))

    def stage(carry: Any, c: Array) -> Any:  # the four calls as one loop, so that the network is compiled once
        last, total, div = carry
        v, d = slope(x + c[0] * h * last, t0 + c[0] * h)
        return (v, total + c[1] * h / 6 * v, div + c[1] * h / 6 * d), None

    stages = jnp.array([[0.0, 1.0], [0.5, 2.0], [0.5, 2.0], [1.0, 1.0]], x.dtype)
    (_, moved, div), _ = jax.lax.scan(stage, (jnp.zeros_like(x), jnp.zeros_like(x), jnp.zeros((), x.dtype)), stages)
    return manifold.project(x + moved), div


@jax.jit
def _log_prob(model: ManifoldModel, x: Array, times: Array) -> Array:
    def one(x: Array) -> Array:
        def move(carry: Any, t: Any) -> Any:
            x, total = carry
            x, div = runge_kutta(model, x, t[0], t[1], True)
            return (x, total + div), None

        (x, total), _ = jax.lax.scan(move, (x, jnp.zeros((), x.dtype)), (times[:-1], times[1:]))
        return model.base.log_prob(x) + total

    return jax.vmap(one)(x)


@register_dataclass
@dataclass(frozen=True)
class Ride(Kernel):
    """One step of the ODE from time u[0] to u[1]."""

    model: ManifoldModel

    def move(self, keys: Array, p: Array, u: Any) -> Array:
        """By `runge_kutta`."""
        return jax.vmap(lambda x: runge_kutta(self.model, x, u[0], u[1], False)[0])(p)


@register_dataclass
@dataclass(frozen=True)
class ReverseWalk(Kernel):
    """One step of the reverse diffusion, x <- exp_x(b (score - pull) + sqrt(b) noise), b the time from u[1] to u[0]."""

    model: ManifoldModel

    def move(self, keys: Array, p: Array, u: Any) -> Array:
        """A step of the geodesic random walk."""
        model, method = self.model, self.model.method
        assert isinstance(method, ScoreMatching)  # `ManifoldModel.chain` sees to it
        b = method.process.integral(u[0]) - method.process.integral(u[1])

        def one(key: Array, x: Array) -> Array:
            drift = method.score(model.field, x, u[0]) - pull(model.base, x)
            return model.manifold.exp(x, b * drift + jnp.sqrt(b) * model.manifold.normal(key, x))

        return jax.vmap(one)(keys, p)
