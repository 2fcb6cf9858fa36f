"""How long a site keeps its value: alpha(t), the probability that x_t still is x_0.

A schedule is a pytree. Asked with numpy times it answers in numpy float64, which is how the tables of samplers are
made; inside jit it answers in jax.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.tree import register_dataclass

Array = Any

# alpha below e^-60 counts as e^-60: nothing is lost in either precision, and no state is unreachable at t = 1.
FLOOR = -60.0


@register_dataclass
@dataclass(frozen=True)
class Level:
    """log alpha and log(1 - alpha) of one or more transition matrices alpha I + (1 - alpha) 1 m^T.

    Both are kept, as neither gives the other in float32.
    """

    keep: Array
    renew: Array

    def since(self, earlier: "Level") -> "Level":
        """Level of the matrix from an earlier time to this one, alpha_t / alpha_s; float64 on the host."""
        keep = self.keep - earlier.keep
        with np.errstate(divide="ignore"):
            return Level(keep, np.log(-np.expm1(keep)))


class Schedule(Protocol):
    """alpha(t), decreasing from data to noise."""

    def level(self, t: Array) -> Level:
        """log alpha and log(1 - alpha) at float times of any shape."""
        ...

    def grid(self, steps: int | None) -> np.ndarray:
        """Times of a sampler, (steps + 1,) float64, from noise to data."""
        ...


@dataclass(frozen=True)
class Continuous:
    """Base of schedules in continuous time, from 0 (data) to 1 (noise)."""

    def level(self, t: Array) -> Level:
        """log alpha and log(1 - alpha)."""
        raise NotImplementedError

    def slope(self, t: Array) -> Array:
        """d alpha / dt."""
        raise NotImplementedError

    def grid(self, steps: int | None) -> np.ndarray:
        """Equal steps from 1 to 0."""
        if steps is None or steps < 1:
            raise UsageError(f"steps={steps}; a schedule in continuous time needs the number of steps, at least 1")
        return np.linspace(1.0, 0.0, steps + 1)


@register_dataclass
@dataclass(frozen=True)
class Linear(Continuous):
    """alpha = 1 - (1 - eps) t; the log-linear schedule of masked and uniform diffusion (arXiv 2406.07524)."""

    eps: float = 0.0

    def level(self, t: Array) -> Level:
        """log alpha and log(1 - alpha)."""
        xp = _namespace(t)
        gone = (1 - self.eps) * t
        with np.errstate(divide="ignore"):
            return Level(xp.maximum(xp.log1p(-gone), FLOOR), xp.log(gone))

    def slope(self, t: Array) -> Array:
        """d alpha / dt."""
        return (self.eps - 1) * _namespace(t).ones_like(t)


@register_dataclass
@dataclass(frozen=True)
class Cosine(Continuous):
    """alpha = cos(pi t / 2)."""

    def level(self, t: Array) -> Level:
        """log alpha and log(1 - alpha) = log 2 sin^2(pi t / 4)."""
        xp = _namespace(t)
        with np.errstate(divide="ignore"):
            renew = np.log(2) + 2 * xp.log(xp.sin(np.pi * t / 4))
            return Level(xp.log(xp.maximum(xp.cos(np.pi * t / 2), np.exp(FLOOR))), renew)

    def slope(self, t: Array) -> Array:
        """d alpha / dt."""
        return -np.pi / 2 * _namespace(t).sin(np.pi * t / 2)


@register_dataclass
@dataclass(frozen=True)
class Steps:
    """alpha after k = 0..T steps of a discrete chain; time is k as a float. Make it with `steps(alphas)`."""

    bar: Level
    """Of the cumulative matrices Qbar_k, leaves (T + 1,) float64."""
    step: Level
    """Of the matrices Q_k = Q_{k|k-1}; entry 0 is not used."""

    def level(self, t: Array) -> Level:
        """log alpha and log(1 - alpha) after round(t) steps."""
        return at(self.bar, t)

    def grid(self, steps: int | None) -> np.ndarray:
        """T, ..., 1, 0, or as many steps between as asked, evenly strided."""
        return strided(len(self.bar.keep) - 1, steps)


def steps(alphas: Array) -> Steps:
    """The schedule of a chain of T steps.

    Args:
        alphas: (T + 1,) float, products of 1 - beta: alphas[0] is that of the data, usually 1. A first value
            below 1 ends samples with that much noise left, as samplers do that skip the last step.
    """
    alphas = np.asarray(alphas, np.float64)
    if alphas.ndim != 1 or len(alphas) < 2 or alphas[0] > 1 or alphas[-1] < 0 or (np.diff(alphas) >= 0).any():
        raise UsageError("alphas must be (T + 1,) numbers that decrease strictly, from at most 1 to at least 0")
    with np.errstate(divide="ignore"):
        bar = Level(np.maximum(np.log(alphas), FLOOR), np.log1p(-alphas))
    first = Level(np.zeros(1), np.full(1, -np.inf))
    step = Level(bar.keep[1:], bar.renew[1:]).since(Level(bar.keep[:-1], bar.renew[:-1]))
    return Steps(bar, jax.tree.map(lambda a, b: np.concatenate([a, b]), first, step))


def cosine_steps(steps: int, power: float = 1.0, clip: float = 0.999) -> np.ndarray:
    """alphas (steps + 1,) of D3PM's cosine schedule, for `steps(...)`.

    beta_k = min(1 - f(k) / f(k - 1), clip) with f(k) = cos^power((k / steps + .008) / 1.008 pi / 2): power 1 in D3PM
    (arXiv 2107.03006), 2 in Nichol and Dhariwal 2021 (arXiv 2102.09672).
    """
    f = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** power
    return np.cumprod(np.append(1.0, 1 - np.minimum(1 - f[1:] / f[:-1], clip)))


def strided(length: int, steps: int | None) -> np.ndarray:
    """Times length, ..., 0 of a discrete chain, (steps + 1,) float64."""
    steps = length if steps is None else steps
    if not 1 <= steps <= length:
        raise UsageError(f"steps={steps} of a chain of {length}; expected 1 to {length}, or None for all")
    return np.round(np.linspace(length, 0, steps + 1))


def at(table: Any, t: Array) -> Any:
    """Entries round(t) of a table's leaves."""
    xp = _namespace(t)
    k = xp.rint(t).astype(np.int32)
    return jax.tree.map(lambda a: xp.asarray(a)[k], table)


def float_time(t: Array, n: int) -> Array:
    """A time () or (n,) as an array; raises UsageError for another shape or an integer."""
    t = jnp.asarray(t)
    if not jnp.issubdtype(t.dtype, jnp.floating):
        raise UsageError(f"time has type {t.dtype}; times are floats, the index of a step too: pass a float array")
    if t.shape not in ((), (n,)):
        raise UsageError(f"time has shape {t.shape}; expected () or ({n},), one time per item of the batch")
    return t


def _namespace(t: Array) -> Any:
    return np if isinstance(t, np.ndarray | float) else jnp
