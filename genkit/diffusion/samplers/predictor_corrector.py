"""Predictor-corrector sampling."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import Model
from genkit.diffusion.denoiser import Denoiser, denoise
from genkit.diffusion.process import EDM, Process
from genkit.diffusion.random import normals
from genkit.diffusion.samplers.euler_maruyama import EulerMaruyama
from genkit.diffusion.samplers.table import Calls, Finish, Particle, Step, Table
from genkit.errors import UsageError
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Corrections:
    """Levels at which Langevin steps are made, leaves (T, ...), beside the predictor's calls."""

    predictor: Calls
    alpha: Any
    sigma: Any
    time: Any
    size: Any
    """2 a snr^2, the step size for equal norms of noise and score"""


@register_dataclass
@dataclass(frozen=True)
class CorrectedStep(Step):
    """Langevin steps at the level of the particle, then the predictor's step to the next."""

    corrections: int = field(metadata={"static": True})

    def move(self, keys: Array, p: Particle, u: Any) -> Particle:
        """All calls are one loop, so that the network is compiled once; the last one is the predictor's."""
        u = jax.tree.map(lambda c: jnp.asarray(c, p.x.dtype), u)

        def call(p: Particle, j: Array) -> tuple[Particle, None]:
            last = j == self.corrections
            z = normals(jax.vmap(jax.random.fold_in, (0, None))(keys, j), p.x.shape)
            corrected = _langevin(p, u, z)
            c = u.predictor
            predicted = c.x[0] * p.x + c.history[0, 0] * p.denoised + c.noise[0] * z
            y = jnp.where(last, predicted, corrected)
            return Particle(y, denoise(self.denoiser, y, jnp.where(last, c.time[0], u.time), self.cond)), None

        return jax.lax.scan(call, p, jnp.arange(self.corrections + 1))[0]

    def where(self, p: Particle, u: Corrections) -> tuple[Array, Array, Any]:  # type: ignore[override]
        """x, the time of arrival, and the condition."""
        return super().where(p, u.predictor)


def _langevin(p: Particle, u: Corrections, z: Array) -> Array:
    """x + e score + sqrt(2 e) z with e = 2 a (snr |z| / |score|)^2, each norm a mean over the batch."""
    score = (u.alpha * p.denoised - p.x) / u.sigma**2

    def norm(v: Array) -> Array:
        return jnp.linalg.norm(v.reshape(v.shape[0], -1), axis=1).mean()

    e = u.size * (norm(z) / jnp.maximum(norm(score), 1e-30)) ** 2
    return p.x + e * score + jnp.sqrt(2 * e) * z


@register_dataclass
@dataclass(frozen=True)
class CorrectedTable:
    """The predictor's table with the levels of its corrections."""

    predictor: Table
    steps: Corrections
    corrections: int = field(metadata={"static": True})

    def model(self, denoiser: Denoiser, shape: tuple[int, ...], cond: Any = None, noise: Any = None) -> Model:
        """The chain from noise to samples of `shape` (n, ...)."""
        plain = self.predictor.model(denoiser, shape, cond, noise)
        stages = ((CorrectedStep(denoiser, cond, self.corrections), self.steps),)
        return Model(plain.init, (*stages, (Finish(cond), np.zeros(1))) if self.predictor.final else stages)


@dataclass(frozen=True)
class PredictorCorrector(EulerMaruyama):
    """Euler-Maruyama with Langevin steps before each of its steps (Song et al. 2021, arXiv 2011.13456, Algorithms 1-5).

    Langevin steps have size 2 a (snr |z| / |score|)^2, a = (alpha / alpha')^2, which is 1 for variance-exploding
    processes. As published, norms are means over the batch: samples depend a little on one another, and on the chunks
    in which they are drawn. Published values of snr: .16 CIFAR-10, .17 CelebA, .075 LSUN, .15 CelebA-HQ and FFHQ.
    Network calls: 1 + (N - 1) (1 + corrections). A step has no density in closed form.
    """

    corrections: int = 1
    """Langevin steps before each step."""
    snr: float = 0.16
    """Their signal-to-noise ratio."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if self.corrections < 1 or self.snr <= 0:
            raise UsageError(
                f"corrections={self.corrections}, snr={self.snr}: expected at least 1 and a positive ratio"
            )

    def table(self, process: Process = EDM()) -> CorrectedTable:  # type: ignore[override]
        """Coefficients of all steps, float64."""
        predictor = super().table(process)
        t = self.time_grid(process)
        alpha, sigma = (np.asarray(f(t), np.float64) for f in (process.alpha, process.sigma))
        size = 2 * (alpha[:-1] / alpha[1:]) ** 2 * self.snr**2
        steps = Corrections(predictor.steps, alpha[:-1], sigma[:-1], t[:-1], size)
        return CorrectedTable(predictor, steps, self.corrections)

    @property
    def nfe(self) -> int:
        """Network calls for one sample, the one at the beginning included."""
        return 1 + ((len(self.times) or self.steps) - 1) * (1 + self.corrections)
