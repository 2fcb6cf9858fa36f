"""Targets in closed form that are hard to explore: a funnel, many wells, a field of phi^4."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit_inverse.targets.density import Normal, Target
from genkit_inverse.targets.mixtures import check_dim

Array = jax.Array


@dataclass(frozen=True)
class Funnel(Target):
    """Neal's funnel: x_1 ~ N(0, 9), the others N(0, exp(x_1))."""

    log_z: ClassVar[float | None] = 0.0

    dim: int = 10
    """Dimensions."""
    scale: float = 1.0
    """Standard deviation of the base but for x_1, whose base is N(0, 9)."""

    def __post_init__(self) -> None:
        """Check the dimension."""
        check_dim(self.dim, 2)

    @property
    def base(self) -> Normal:
        """With the first coordinate as it is; under N(0, I) tempering misses the wide part and the neck."""
        root = np.full(self.dim, self.scale, np.float32)
        root[0] = 3.0
        return Normal(np.zeros(self.dim, np.float32), root)

    def __call__(self, x: Array) -> Array:
        """log density of x (d,)."""
        first, rest = x[0], x[1:]
        log_p = -0.5 * (jnp.sum(rest**2) * jnp.exp(-first) + (self.dim - 1) * (first + jnp.log(2 * jnp.pi)))
        return log_p + jax.scipy.stats.norm.logpdf(first, scale=3.0)

    def draw(self, key: Array) -> Array:  # type: ignore[override]
        """An exact sample (d,)."""
        z = jax.random.normal(key, (self.dim,))
        return (z * jnp.exp(1.5 * z[0])).at[0].set(3 * z[0])


@dataclass(frozen=True)
class ManyWell(Target):
    """Pairs of a double well exp(-x^4 + 6 x^2 + x / 2) and a standard normal."""

    WELL: ClassVar[float] = 11784.50927
    """Integral of one double well."""

    dim: int = 32
    """Dimensions, even."""
    scale: float = 1.5
    """Standard deviation of the base."""

    def __post_init__(self) -> None:
        """Check the dimension."""
        check_dim(self.dim, 2)
        if self.dim % 2:
            raise UsageError(f"dim={self.dim}; expected an even number, pairs of a well and a normal")

    @property
    def log_z(self) -> float:  # type: ignore[override]
        """Exact."""
        return self.dim // 2 * (math.log(self.WELL) + 0.5 * math.log(2 * math.pi))

    @property
    def mode_weights(self) -> np.ndarray:  # type: ignore[override]
        """(d,) of the left and the right well of each pair."""
        x = np.linspace(-4, 4, 4001)
        p = np.exp(-(x**4) + 6 * x**2 + 0.5 * x - 10)
        return np.tile([p[x < 0].sum() / p.sum(), p[x > 0].sum() / p.sum()], self.dim // 2)

    def members(self, x: Array) -> Array:
        """By the sign of every well's coordinate."""
        right = x[:, ::2] > 0
        return jnp.stack([~right, right], -1).reshape(len(x), -1)

    def __call__(self, x: Array) -> Array:
        """log density of x (d,)."""
        well, flat = x[::2], x[1::2]
        return jnp.sum(-(well**4) + 6 * well**2 + 0.5 * well - 0.5 * flat**2)

    def draw(self, key: Array) -> Array:  # type: ignore[override]
        """A sample (d,), exact up to a grid of 1/500."""
        wells, flats = jax.random.split(key)
        grid = jnp.linspace(-4, 4, 4001)
        cdf = jnp.cumsum(jnp.exp(-(grid**4) + 6 * grid**2 + 0.5 * grid - 10))
        well = jnp.interp(jax.random.uniform(wells, (self.dim // 2,)), cdf / cdf[-1], grid)
        return jnp.stack([well, jax.random.normal(flats, well.shape)], -1).reshape(-1)


@dataclass(frozen=True)
class Phi4(Target):
    """A field of phi^4 on a periodic square lattice: S = sum x_i (4 x_i - neighbours) + m2 x_i^2 + lam x_i^4.

    The sign of its mean tells its two phases apart. Sizes as in CRAFT (arXiv 2201.13117).
    """

    size: int = 14
    """Sites L of a side."""
    m2: float = -4.75
    """Mass term."""
    lam: float = 5.1
    """Coupling."""
    scale: float = 0.6
    """Standard deviation of the base."""

    def __post_init__(self) -> None:
        """Check the size."""
        if self.size < 2 or self.lam <= 0:
            raise UsageError(f"size={self.size}, lam={self.lam}; expected at least 2, and above 0")

    @property
    def dim(self) -> int:
        """L^2."""
        return self.size**2

    @property
    def mode_weights(self) -> np.ndarray:  # type: ignore[override]
        """(2,) by symmetry."""
        return np.full(2, 0.5)

    def members(self, x: Array) -> Array:
        """By the sign of the mean."""
        up = x.mean(1) > 0
        return jnp.stack([~up, up], 1)

    def __call__(self, x: Array) -> Array:
        """-S of x (L^2,)."""
        f = x.reshape(self.size, self.size)
        around: Any = sum(jnp.roll(f, shift, axis) for shift in (1, -1) for axis in (0, 1))
        return -jnp.sum(f * (4 * f - around) + self.m2 * f**2 + self.lam * f**4)


@dataclass(frozen=True)
class Brownian(Target):
    """A Brownian motion seen at 20 of 30 times, its two scales unknown: the latter as inverse softplus, then the path.

    The target "brownian motion missing middle unknown scales" of the inference gym; log Z is about 1 in the published
    runs of DDS (arXiv 2302.13834).
    """

    log_z: ClassVar[float | None] = 1.0
    SEEN: ClassVar[tuple[float, ...]] = (
        0.21592641, 0.118771404, -0.07945447, 0.037677474, -0.27885845, -0.1484156, -0.3250906, -0.22957903,
        -0.44110894, -0.09830782, -0.8786016, -0.83736074, -0.7384849, -0.8939254, -0.7774566, -0.70238715,
        -0.87771565, -0.51853573, -0.6948214, -0.6202789,
    )  # fmt: skip
    dim: ClassVar[int] = 32

    scale: float = 1.0
    """Standard deviation of the base."""

    def __call__(self, x: Array) -> Array:
        """log density of x (32,)."""
        scales, path = jax.nn.softplus(x[:2]), x[2:]
        log_s = jnp.log(scales)
        normal = jax.scipy.stats.norm.logpdf
        prior = jnp.sum(normal(log_s, 0, 2) - log_s - jax.nn.softplus(-x[:2]))  # the last is the derivative's
        steps = jnp.diff(path, prepend=jnp.zeros(1))
        seen = jnp.concatenate([path[:10], path[20:]])
        return prior + normal(steps, 0, scales[0]).sum() + normal(jnp.array(self.SEEN), seen, scales[1]).sum()
