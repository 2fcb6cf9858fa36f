"""What is known of a density: how it begins, its integral, samples, modes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, make_dataclass
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import callable_tree
from genkit.errors import UsageError
from genkit.smc import bridge
from genkit.steer import standard_normal
from genkit.tree import register_dataclass

Array = jax.Array
LOOKED = 2000  # draws of a base that are looked at


@register_dataclass
@dataclass(frozen=True, eq=False)
class Normal:
    """N(mean, root root^T) on R^d: the usual base."""

    mean: Any
    """(d,)"""
    root: Any
    """(d,) standard deviations, or (d, d), lower Cholesky factor of the covariance"""

    def draw(self, key: Array) -> Array:
        """x (d,)."""
        return self.back(jax.random.normal(key, jnp.shape(self.mean)))

    def log_prob(self, x: Array) -> Array:
        """log density at x (d,), normalised."""
        if jnp.ndim(self.root) == 1:
            z = (x - self.mean) / self.root
        else:
            z = jax.scipy.linalg.solve_triangular(self.root, x - self.mean, lower=True)
        return standard_normal(z) - self.log_det

    def back(self, z: Array) -> Array:
        """x (..., d) from coordinates z (..., d) in which it is N(0, I)."""
        return self.mean + (z * self.root if jnp.ndim(self.root) == 1 else z @ jnp.asarray(self.root).T)

    @property
    def positive(self) -> bool:
        """Whether mean and scales are numbers and the latter positive, outside jit."""
        diagonal = np.diagonal(self.root) if np.ndim(self.root) == 2 else np.asarray(self.root)
        return bool(np.isfinite(self.mean).all() and np.isfinite(self.root).all() and (diagonal > 0).all())

    @property
    def log_det(self) -> Array:
        """log |dx / dz|, ()."""
        return jnp.log(self.root if jnp.ndim(self.root) == 1 else jnp.diagonal(self.root)).sum()


class Density:
    """Base of densities: x (d,) -> log density (), up to a constant; pytrees where they hold arrays."""

    dim: Any
    """Dimensions d."""
    log_z: ClassVar[float | None] = None
    """log of its integral, exact or published; None where it is not known."""
    scale: Any = 1.0
    """Standard deviation of the base about zero."""
    mode_weights: ClassVar[Any] = None
    """(k,) probabilities of its modes, where they are known; then `members` tells which mode a state belongs to."""
    draw: ClassVar[Callable[..., Array] | None] = None
    """key -> x (d,), an exact sample, where one can be drawn."""

    def __call__(self, x: Array) -> Array:
        """log density, up to a constant."""
        raise NotImplementedError(f"{type(self).__name__} needs a method __call__(x), the log density of x (d,)")

    @property
    def base(self) -> Any:
        """Where samplers begin, with `draw(key)` and a normalised `log_prob(x)`."""
        return Normal(np.zeros(self.dim, np.float32), np.full(self.dim, self.scale, np.float32))

    def members(self, x: Array) -> Array:
        """Of states x (n, d), (n, k) bool: whether they belong to each of the modes."""
        raise NotImplementedError(f"{type(self).__name__} has mode_weights and needs a method members(x)")


class Target(Density):
    """Base of densities that are components themselves: their fields are options."""

    def load(self) -> Self:
        """Itself."""
        return self


def target(dim: int, scale: float = 1.0, log_z: float | None = None) -> Callable[[Callable[[Array], Array]], type]:
    """Make a target of a function x (d,) -> (); `scale` is the standard deviation of the base about zero."""

    def make(log_prob: Callable[[Array], Array]) -> type:
        body = {
            "__call__": lambda self, x: log_prob(x),
            "__doc__": log_prob.__doc__ or f"The density {log_prob.__name__}.",
            "__module__": log_prob.__module__,
            "__qualname__": log_prob.__qualname__,
            "log_z": log_z,
        }
        fields = [("dim", int, dim), ("scale", float, scale)]
        return make_dataclass(log_prob.__name__, fields, bases=(Target,), namespace=body, frozen=True)

    return make


@register_dataclass
@dataclass(frozen=True, eq=False)
class Whitened:
    """A density in coordinates z in which a normal is N(0, I): log p(back(z)) + log |dx / dz|; the same integral."""

    log_p: Any
    normal: Normal

    def __call__(self, z: Array) -> Array:
        """(d,) -> ()."""
        return self.log_p(self.normal.back(z)) + self.normal.log_det


@register_dataclass
@dataclass(frozen=True, eq=False)
class Beginning:
    """A density with the base that a sampler begins from, in coordinates of their own."""

    draw: Any
    """key -> z (d,)"""
    log_p0: Any
    """(d,) -> (), normalised"""
    log_p: Any
    """(d,) -> ()"""
    normal: Normal | None
    """whose coordinates these are; None are those of the density"""

    def back(self, z: Array) -> Array:
        """States x (n, d) from z (n, d)."""
        return z if self.normal is None else self.normal.back(z)


def whitened(density: Any) -> Beginning:
    """A density with its base; in coordinates in which that is N(0, I) if it is a `Normal`.

    Raises `UsageError` for a base whose draws do not fit its density, as where that is not normalised, and for a
    density that is NaN or +inf at some of them.
    """
    d, base = density.dim, density.base
    log_p = callable_tree(density)
    if isinstance(base, Normal):
        begin = Beginning(callable_tree(_Draw(d)), callable_tree(standard_normal), Whitened(log_p, base), base)
    else:
        begin = Beginning(callable_tree(base.draw), callable_tree(base.log_prob), log_p, None)
    _check(begin, type(density).__name__, d)
    return begin


@dataclass(frozen=True)
class _Draw:
    dim: int

    def __call__(self, key: Array) -> Array:
        return jax.random.normal(key, (self.dim,))


def _check(begin: Beginning, name: str, d: int) -> None:
    if begin.normal is not None and not begin.normal.positive:
        raise UsageError(f"{name}: its base is no normal density; expected a finite mean and a positive root")
    x, log_p = (np.asarray(a) for a in _look(begin, jax.random.key(0)))
    wrong = np.isnan(log_p) | (log_p == np.inf)
    if wrong.any():
        at = np.array2string(x[np.argmax(wrong)][:5], precision=3)
        raise UsageError(
            f"{name}: the log density is {log_p[np.argmax(wrong)]} at {at}{'...' * (d > 5)}, one of {wrong.sum()} of "
            f"{len(x)} draws of its base; expected a number or -inf everywhere"
        )
    if (log_p == -np.inf).all():
        raise UsageError(f"{name}: the density is zero at all of {len(x)} draws of its base; expected a base around it")
    if begin.normal is not None:
        return
    log_z0, se = (float(a) for a in _normaliser(begin, jax.random.key(1), jnp.asarray(x)))
    if not abs(log_z0) < max(5 * se, 0.02):
        raise UsageError(
            f"{name}: the base's density integrates to exp({log_z0:.3f}), as far as {len(x)} of its draws tell; "
            "give it normalised, since log Z is that of the target over that of the base"
        )


@jax.jit
def _look(begin: Beginning, key: Array) -> tuple[Array, Array]:
    x = jax.vmap(begin.draw)(jax.random.split(key, LOOKED))
    return x, jax.vmap(begin.log_p)(x)


@jax.jit
def _normaliser(begin: Beginning, key: Array, x: Array) -> tuple[Array, Array]:
    """log of the integral of the base's density and its standard error, by a bridge to a normal like its draws."""
    around = Normal(x.mean(0), 1.2 * x.std(0) + 1e-9)
    z = jax.vmap(around.draw)(jax.random.split(key, LOOKED))
    here, there = (jax.vmap(lambda x: begin.log_p0(x) - around.log_prob(x))(a) for a in (z, x))
    return bridge(here, there)


def modes_found(density: Any, x: Array, log_w: Array) -> Array | None:
    """How many modes hold at least a tenth of their probability in states x (n, d) with log-weights (n,)."""
    if density.mode_weights is None:
        return None
    held = jax.nn.softmax(log_w) @ density.members(x).astype(log_w.dtype)
    return (held >= 0.1 * jnp.asarray(density.mode_weights)).sum()
