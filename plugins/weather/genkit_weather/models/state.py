"""Trained models of a state at one time: a prior of analyses, and a correction of optimal interpolation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from genkit.diffusion import EDMDenoiser, Heun, Rho, denoising_loss, sample
from genkit.errors import UsageError
from genkit.kinds import Network, Sampler
from genkit.model import Trained
from genkit.nn import Net, parameter_count
from genkit.tree import register_dataclass
from genkit_weather.assimilation import Climate, Covariance, Folds, Observed, Shape, Situation
from genkit_weather.models.area import Area
from genkit_weather.models.recipe import LearningRecipe
from genkit_weather.networks import LamUNet, Sizes

TINY = replace(LamUNet.preset("tiny"), base=8, embedder=8, embedding=32, noise_skip=1)
"""The network of presets tiny."""


@dataclass(frozen=True, kw_only=True)
class StateRecipe(LearningRecipe):
    """A conditional diffusion of the interior at one time, about a first guess."""

    fixed: ClassVar[tuple[str, ...]] = ("network", "steps")
    used: ClassVar[tuple[str, ...]] = ("sampler",)
    told: ClassVar[int] = 0  # fields of each variable that the network sees beside the situation

    network: Network[Sizes] = field(default_factory=LamUNet)
    """The denoising network."""
    noise: Rho = field(default_factory=Rho)
    """Noise levels in training, in units of the guess' error."""
    steps: int = 1200
    """Training steps."""
    sampler: Sampler = field(default_factory=Heun)
    """The sampler of a state."""

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if self.steps < 1:
            raise UsageError(f"steps={self.steps} is too few; expected at least 1")
        if getattr(self.network, "graph", None) is not None:
            raise UsageError("the network of a state has a mesh (network.mesh), no graph file; leave network.graph out")

    def net(self, layout: Any) -> Net:
        """The network for data of a layout."""
        return Net(self.network, (Climate.sizes(layout, self.told * layout.variables),))

    def denoiser(self, run: Any, layout: Any) -> EDMDenoiser:
        """With its first parameters; what is diffused has unit variance."""
        net = self.net(layout)
        return EDMDenoiser(net, net.init(run.key("parameters")), jnp.ones(1))

    def fitted(self, run: Any, name: str, model: StateModel, examples: Any, held_out: Any, steps: int) -> Any:
        """The denoiser of a model, trained on batches (situation, channels, residual)."""
        denoiser, climate = jax.tree.map(jnp.asarray, model.denoiser), model.climate

        def loss(params: Any, aux: Any, batch: Any, key: Any, training: bool = True) -> Any:
            situation, told, residual = batch
            key, dropout = jax.random.split(key)
            cond = replace(climate.condition(situation, told), key=dropout if training else None)
            return denoising_loss(key, replace(denoiser, params=params), residual, cond, self.noise), (aux, {})

        known, optimizer = self.known(held_out), self.optimizer.build(steps)
        return replace(denoiser, params=self.learn(run, name, loss, denoiser.params, examples, known, steps, optimizer))

    def plan(self, layout: Any, particles: int) -> dict[str, str]:
        """Parameters; the network is built of shapes only."""
        return {"parameters": f"{parameter_count(self.net(layout).shapes()):,}"}


@register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class StateModel(Trained):
    """A prior p(state | frame, hour) of the interior: expected + unit r, r by diffusion."""

    instead: ClassVar[str] = "a state needs its frame; use `genkit run weather.assimilation`"

    area: Area
    climate: Climate
    denoiser: Any
    unit: Any
    """(V,) of r, standardised"""
    sampler: Any = field(metadata={"static": True})

    def check(self, data: Folds) -> None:
        """Refuse data of other variables, units, grid or boundary, in one line."""
        name = "the model" if self.origin is None else f"the model {self.origin.folder}"
        self.area.check(Area.of(data.weather), name, data.weather.source)

    def relative(self, situation: Situation, states: np.ndarray) -> np.ndarray:
        """r (n, h, w, V) of standardised states."""
        return (states - situation.expected) / np.asarray(self.unit)

    def states(self, situation: Situation, r: Any) -> np.ndarray:
        """Standardised states of r."""
        return situation.expected + np.asarray(r) * np.asarray(self.unit)

    def seen(self, situation: Situation, observed: Observed) -> Observed:
        """Observations of r, at the one time of a situation."""
        return observed.relative(np.asarray(situation.expected[0], float), np.asarray(self.unit, float))


@register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class OIModel(StateModel):
    """States about the analysis of optimal interpolation, told what was observed: analysis + unit r.

    The mean of the members is analysis + unit share E[r], where E[r] is what the network expects: as of the members of
    `OI`, it has no noise of sampling. They depart from it as draws of the diffusion from theirs.
    """

    covariance: Covariance
    """of the background's error"""
    keep: Any
    """() of a forecast's departure from what is expected, in the background; 0 where there was none in training"""
    share: Any
    """(V,) of the mean that the network expects: what is left of it where it was not trained, between 0 and 1"""
    shape: Shape = field(metadata={"static": True})
    """how the covariance is used"""

    @property
    def cycled(self) -> bool:
        """Whether a forecast is looked at."""
        return bool(np.asarray(self.keep).any())

    def first(self, situation: Situation, forecast: np.ndarray, observed: Observed) -> tuple[np.ndarray, np.ndarray]:
        """The analysis (h, w, V) about a mean forecast (h, w, V) and the channels (h, w, 4 V) that the network sees."""
        expected = situation.expected[0]
        background = expected + np.asarray(self.keep) * (forecast - expected)
        analysis, left = self.covariance.analyse(background[None], observed, self.shape)
        return analysis[0], channels(background, analysis[0], left, observed)

    def analyse(self, key: Any, situation: Situation, forecast: np.ndarray, observed: Observed, n: int) -> np.ndarray:
        """n states (n, h, w, V) given the observations and a mean forecast (h, w, V)."""
        analysis, told = self.first(situation, forecast, observed)
        many = situation.repeated(n)
        cond = self.climate.condition(many, np.repeat(told[None], n, 0))
        shape = (n, *analysis.shape)
        r = np.asarray(drawn(key, self.sampler.table(self.denoiser.process), self.denoiser, cond, shape))
        mean = np.asarray(self.share) * np.asarray(blind(key, self.denoiser, cond, shape)).mean(0)
        return analysis + (mean + r - r.mean(0)) * np.asarray(self.unit)


@partial(jax.jit, static_argnames="shape")
def drawn(key: Any, table: Any, denoiser: Any, cond: Any, shape: tuple[int, ...]) -> Any:
    """Samples of a denoiser."""
    return sample(key, table, denoiser, shape, cond)


@partial(jax.jit, static_argnames="shape")
def blind(key: Any, denoiser: Any, cond: Any, shape: tuple[int, ...]) -> Any:
    """E[r] given the condition alone: the denoised values of noise at the highest level, which hides the rest."""
    top = denoiser.process.t_max
    return denoiser(denoiser.process.sigma(top) * jax.random.normal(key, shape), top, cond)


def channels(background: np.ndarray, analysis: np.ndarray, left: np.ndarray, observed: Observed) -> np.ndarray:
    """(h, w, 4 V): analysis, increment, its spread, and how much is observed in each cell and variable."""
    seen = np.zeros(observed.shape)
    weight = np.where(observed.there, observed.errors, np.inf) ** -2.0
    slopes = observed.slopes(observed.values(analysis[None])[:, 0])
    for own, cells, rows in zip(slopes, observed.cells, observed.weights, strict=True):
        np.add.at(seen.reshape(-1), cells, weight[:, None] * (own[:, None] * rows) ** 2)
    told = analysis, analysis - background, left, np.log1p(seen)
    return np.concatenate(told, -1).astype(np.float32)
