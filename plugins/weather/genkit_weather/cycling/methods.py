"""Methods of analysis, all of one form: the members of a forecast and observations, in standardised units, in; members
of the analysis out. Those that are not `cycled` look at no forecast.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, NamedTuple, Protocol

import jax
import numpy as np

from genkit.steer import DAISI, DDSMC, MMPS, posterior
from genkit_weather.assimilation import Climate, Observed, Shape, Situation, distances, taper
from genkit_weather.assimilation import etkf as transform
from genkit_weather.assimilation import letkf as local_transform
from genkit_weather.models import OIModel, StateModel


class Analysed(NamedTuple):
    """Members (M, h, w, V) of an analysis and what the method says of it."""

    states: np.ndarray
    said: dict[str, float] = {}


class Method(Protocol):
    """A method of analysis."""

    @property
    def cycled(self) -> bool:
        """Whether a forecast is looked at."""
        ...

    def __call__(
        self, rng: np.random.Generator, background: np.ndarray, situation: Situation, observed: Observed
    ) -> Analysed:
        """Analyse members (M, h, w, V) of a forecast at one time."""
        ...


@dataclass(frozen=True)
class Free:
    """The forecast goes on without observations."""

    cycled: ClassVar[bool] = True

    def __call__(self, rng: Any, background: np.ndarray, situation: Situation, observed: Observed) -> Analysed:
        """The forecast."""
        return Analysed(background)


@dataclass(frozen=True)
class Expected:
    """What is expected from the frame, with draws of its error; no observations."""

    climate: Climate
    cycled: ClassVar[bool] = False

    def __call__(self, rng: Any, background: np.ndarray, situation: Situation, observed: Observed) -> Analysed:
        """Draws about the expectation, which is their mean."""
        drawn = self.climate.covariance.draw(rng, len(background))
        return Analysed(situation.expected + drawn - drawn.mean(0))


@dataclass(frozen=True)
class OI:
    """Optimal interpolation about what is expected from the frame, with the covariance of that.

    Members are draws about it by perturbed observations, centred, so that their mean is the analysis itself.
    """

    climate: Climate
    shape: Shape = Shape()
    keep: float = 0.0
    """of the forecast"""
    cycled: ClassVar[bool] = False

    def __call__(self, rng: Any, background: np.ndarray, situation: Situation, observed: Observed) -> Analysed:
        """About one background."""
        covariance, x = self.climate.covariance, situation.expected
        drawn = covariance.draw(rng, len(background)) * self.shape.scale**0.5
        first = x + self.keep * (background.mean(0) - x) + drawn - drawn.mean(0)
        return Analysed(covariance.analyse(first, observed, self.shape, perturbed(rng, first, observed))[0])


@dataclass(frozen=True)
class ForecastOI(OI):
    """The same about x + keep (f - x): the mean forecast f alone would lose what the frame tells, x."""

    keep: float = 0.6
    cycled: ClassVar[bool] = True


def perturbed(rng: np.random.Generator, members: np.ndarray, observed: Observed) -> np.ndarray:
    """(M, m) standard normals whose mean over the members is 0."""
    noise = rng.standard_normal((len(members), len(observed.y)))
    return noise - noise.mean(0)


def relaxed(
    rng: np.random.Generator, climate: Climate, members: np.ndarray, situation: Situation, keep: float
) -> np.ndarray:
    """x + keep (members - x) + sqrt(1 - keep^2) draws of the climate about x, what is expected from the frame.

    A step towards N(x, C), the law given the frame alone, that leaves it as it is. Without it a cycle forgets what the
    frame tells of places that no station sees, and few members lose their spread.
    """
    if keep == 1:
        return members
    drawn, x = climate.covariance.draw(rng, len(members)), situation.expected
    return x + keep * (members - x) + (1 - keep**2) ** 0.5 * (drawn - drawn.mean(0))


@dataclass(frozen=True)
class ETKF:
    """The ensemble transform Kalman filter."""

    climate: Climate
    inflation: float = 1.1
    keep: float = 1.0
    """see `relaxed`"""
    cycled: ClassVar[bool] = True

    def __call__(self, rng: Any, background: np.ndarray, situation: Situation, observed: Observed) -> Analysed:
        """Of flat states."""
        background = relaxed(rng, self.climate, background, situation, self.keep)
        flat = background.reshape(len(background), -1)
        seen = observed.predict(background)
        return Analysed(transform(flat, seen, observed.y, observed.errors, self.inflation).reshape(background.shape))


@dataclass(frozen=True)
class LETKF:
    """The local ensemble transform Kalman filter."""

    climate: Climate
    inflation: float = 1.1
    keep: float = 1.0
    """see `relaxed`"""
    length: float = 4.0
    """cells of the taper exp(-(d / length)^2 / 2) on the observations' precision"""
    cycled: ClassVar[bool] = True

    def __call__(self, rng: Any, background: np.ndarray, situation: Situation, observed: Observed) -> Analysed:
        """At each cell."""
        background = relaxed(rng, self.climate, background, situation, self.keep)
        members, h, w, v = background.shape
        places = np.stack(np.meshgrid(np.arange(h), np.arange(w), indexing="ij"), -1).reshape(-1, 2)
        near = taper(distances(places, observed.place), self.length)
        columns, seen = background.reshape(members, h * w, v), observed.predict(background)
        states = local_transform(columns, seen, observed.y, observed.errors, near, self.inflation)
        return Analysed(states.reshape(background.shape))


@dataclass(frozen=True)
class SDA:
    """Score-based data assimilation: the snapshot prior from noise, guided by the observations (arXiv 2306.10574)."""

    prior: StateModel
    method: MMPS = field(default_factory=lambda: MMPS(steps=12, sigma_max=20.0, iterations=3))
    cycled: ClassVar[bool] = False

    def __call__(self, rng: Any, background: np.ndarray, situation: Situation, observed: Observed) -> Analysed:
        """From noise; a member is a group of its own."""
        return steered(self.prior, self.method, rng, len(background), situation, observed, 1)


@dataclass(frozen=True)
class Decoupled:
    """DDSMC on the snapshot prior: each member is drawn from particles of its own. Linear observations."""

    prior: StateModel
    method: DDSMC = field(default_factory=lambda: DDSMC(eta=1.0, steps=95))
    particles: int = 4
    cycled: ClassVar[bool] = False

    def __call__(self, rng: Any, background: np.ndarray, situation: Situation, observed: Observed) -> Analysed:
        """From noise."""
        found = steered(self.prior, self.method, rng, len(background), situation, observed, self.particles)
        return Analysed(found.states, found.said | {"prior_std_ratio": self.method.prior_std()})


def steered(
    prior: StateModel, method: Any, rng: Any, members: int, situation: Situation, observed: Observed, particles: int
) -> Analysed:
    """Members of a prior by a method of `genkit.steer`."""
    seen = prior.seen(situation, observed)
    given = seen.rows() if isinstance(method, DDSMC) else seen.observation()
    cond = prior.climate.condition(situation.repeated(members))
    key = jax.random.key(int(rng.integers(2**31)))
    draws = posterior(key, method, prior.denoiser, given, groups=members, particles=particles, cond=cond)
    said = {"evidence_ess": float(np.exp(2 * logsum(draws.log_z) - logsum(2 * draws.log_z)))} if particles > 1 else {}
    return Analysed(prior.states(situation, draws.x[:, 0]), said)


def logsum(a: Any) -> float:
    """log of the sum of exponentials."""
    a = np.asarray(a, float)
    return float(a.max() + np.log(np.exp(a - a.max()).sum()))


@dataclass(frozen=True)
class InverseSampling:
    """DAISI: each member of the forecast to noise and back by the snapshot prior, guided by the observations."""

    prior: StateModel
    method: DAISI = field(default_factory=lambda: DAISI(guidance=MMPS(iterations=3)))
    cycled: ClassVar[bool] = True

    def __call__(self, rng: Any, background: np.ndarray, situation: Situation, observed: Observed) -> Analysed:
        """Of each member."""
        given = self.prior.seen(situation, observed).observation()
        cond = self.prior.climate.condition(situation.repeated(len(background)))
        members = np.asarray(self.prior.relative(situation, background), np.float32)
        key = jax.random.key(int(rng.integers(2**31)))
        r = back_and_forth(key, self.method, self.prior.denoiser, given, members, cond)
        return Analysed(self.prior.states(situation, r))


@partial(jax.jit, static_argnames="method")
def back_and_forth(key: Any, method: DAISI, denoiser: Any, given: Any, members: Any, cond: Any) -> Any:
    """One program for all times."""
    return method(key, denoiser, given, members, cond)


@dataclass(frozen=True)
class OIDiffusion:
    """The diffusion about optimal interpolation, of the mean forecast where it was trained so."""

    model: OIModel

    @property
    def cycled(self) -> bool:
        """Of the model."""
        return self.model.cycled

    def __call__(self, rng: Any, background: np.ndarray, situation: Situation, observed: Observed) -> Analysed:
        """Fresh draws."""
        key = jax.random.key(int(rng.integers(2**31)))
        return Analysed(self.model.analyse(key, situation, background.mean(0), observed, len(background)))
