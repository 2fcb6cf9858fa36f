"""What one-step samplers of second order share: churn, the kernel, the particle.

Between two levels, s and s' < s, such a sampler is linear in the state and in two denoised values:

    y  = q x + (1 - q) D(x; s)
    x' = r x + a D(x; s) + b D(y; m)

with coefficients that depend on the levels alone. The noise of the next churn is added to x', and the network
is called where the particle arrives; the particle carries the answer into the next step.
"""

from dataclasses import dataclass, field
from math import inf, sqrt
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import Kernel, Model
from genkit.diffusion.denoiser import Denoiser, denoise
from genkit.diffusion.noise import rho_grid
from genkit.diffusion.random import normals
from genkit.errors import UsageError

Array = jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Particle:
    """A state and what the denoiser said there; leaves (n, ...)."""

    x: Array
    denoised: Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Calls:
    """Network calls D(y; level) at y = x * state + d * denoised + e * last call + noise * eps.

    Leaves (2,) for the calls of a step, (T, 2) for a stage.
    """

    x: Any
    d: Any
    e: Any
    noise: Any
    level: Any


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Begin:
    """Noise at the highest level and its churn, with the first network call."""

    denoiser: Denoiser
    cond: Any
    level: Array
    """() highest level of the grid."""
    churn: Array
    """() standard deviation of the noise that churn adds there."""
    churned: Array
    """() level with churn."""
    noise: Array | None
    """(n, ...) standard normal to begin with; drawn if None."""
    shape: tuple[int, ...] = field(metadata={"static": True})

    def __call__(self, keys: Array) -> tuple[Particle, None]:
        """Particles (n, ...), no potential."""
        n, *item = self.shape
        drawn = normals(keys, (n, 2, *item))
        z = drawn[:, 0] if self.noise is None else self.noise.astype(drawn.dtype)
        level, churn, churned = (jnp.asarray(a, z.dtype) for a in (self.level, self.churn, self.churned))
        x = level * z + churn * drawn[:, 1]
        return Particle(x, denoise(self.denoiser, x, churned, self.cond)), None


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Step(Kernel):
    """From one churned level to the next: two network calls."""

    denoiser: Denoiser
    cond: Any

    def move(self, keys: Array, p: Particle, u: Calls) -> Particle:
        """Both calls are one loop, so that the network is compiled once here."""
        u = jax.tree.map(lambda c: jnp.asarray(c, p.x.dtype), u)
        eps = normals(keys, p.x.shape)

        def call(last, c):
            y = c.x * p.x + c.d * p.denoised + c.e * last.denoised + c.noise * eps
            return Particle(y, denoise(self.denoiser, y, c.level, self.cond)), None

        p1, _ = jax.lax.scan(call, Particle(p.x, jnp.zeros_like(p.x)), u)
        return p1


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Finish(Kernel):
    """The step to level zero: the denoised value that the particle carries, no network call."""

    def move(self, keys: Array, p: Particle, u: Any) -> Particle:
        """x = D."""
        return Particle(p.denoised, p.denoised)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Table:
    """A sampler's coefficients, computed in float64 outside jit; give it to jitted code as an argument."""

    level: Any
    """(3,) highest level, noise of its churn, level with churn."""
    steps: Calls
    """Leaves (N - 1, 2)."""

    def model(self, denoiser: Denoiser, shape: tuple[int, ...], cond: Any = None, noise: Any = None) -> Model:
        """The chain from noise to samples of `shape` (n, ...): N - 1 steps and the one to level zero."""
        level, churn, churned = self.level
        begin = Begin(denoiser, cond, level, churn, churned, noise, shape)
        return Model(begin, ((Step(denoiser, cond), self.steps), (Finish(), np.zeros(1))))


@dataclass(frozen=True)
class OneStep:
    """Base of the samplers here; a subclass gives `coefficients`.

    Levels as in `rho_grid`. Churn (Karras et al. 2022, Algorithm 2) raises level t to t (1 + gamma) by fresh
    noise, gamma = min(churn / steps, sqrt 2 - 1) where churn_min <= t <= churn_max.
    """

    steps: int = 20
    """Noise levels without the final zero; at least 2."""
    sigma_min: float = 0.03
    """Lowest level above zero."""
    sigma_max: float = 80.0
    """Highest level."""
    rho: float = 7.0
    """Larger puts more levels near sigma_min."""
    churn: float = 0.0
    """Amount of fresh noise over the whole run (S_churn); 0 is deterministic."""
    churn_min: float = 0.0
    """Lowest level with churn."""
    churn_max: float = inf
    """Highest level with churn."""
    churn_noise: float = 1.0
    """Factor on the fresh noise (S_noise); a little above 1 widens the samples."""

    def __post_init__(self):
        """Check the fields."""
        if self.churn < 0:
            raise UsageError(f"churn={self.churn} is negative; use 0 for a deterministic sampler or a positive amount")
        if self.churn_noise < 0:
            raise UsageError(f"churn_noise={self.churn_noise} is negative; 1 keeps the noise level")
        self.grid()

    @property
    def nfe(self) -> int:
        """Network calls for one sample, 2 N - 1."""
        return 2 * self.steps - 1

    def grid(self) -> np.ndarray:
        """Levels (N + 1,), float64, the last 0."""
        return rho_grid(self.steps, self.sigma_min, self.sigma_max, self.rho)

    @staticmethod
    def coefficients(s: np.ndarray, s1: np.ndarray) -> tuple[np.ndarray, ...]:
        """(q, m, r, a, b) of the steps from levels s to levels s1."""
        raise NotImplementedError

    def table(self) -> Table:
        """Coefficients of all steps, float64."""
        t = self.grid()[:-1]
        active = (self.churn_min <= t) & (t <= self.churn_max)
        gamma = np.where(active, min(self.churn / self.steps, sqrt(2) - 1), 0.0)
        churned = t * (1 + gamma)
        noise = np.sqrt(churned**2 - t**2) * self.churn_noise
        q, m, r, a, b = self.coefficients(churned[:-1], t[1:])
        zero = np.zeros_like(q)
        pairs = ((q, r), (1 - q, a), (zero, b), (zero, noise[1:]), (m, churned[1:]))
        return Table(np.stack([t[0], noise[0], churned[0]]), Calls(*(np.stack(c, axis=1) for c in pairs)))

    def model(self, denoiser: Denoiser, shape: tuple[int, ...], cond: Any = None, noise: Any = None) -> Model:
        """The chain from noise to samples of `shape` (n, ...), for `genkit.chain.run`."""
        return self.table().model(denoiser, shape, cond, noise)
