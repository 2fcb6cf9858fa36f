"""Diffusion about the analysis of optimal interpolation: it starts at OI and learns what OI cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import jax
import numpy as np

from genkit.data import Arrays
from genkit.diffusion import Euler
from genkit.errors import UsageError
from genkit_weather.assimilation import Climate, Folds, Network, Shape, quantity
from genkit_weather.data import Series
from genkit_weather.models.area import Area
from genkit_weather.models.recipe import VALIDATION
from genkit_weather.models.state import TINY, OIModel, StateRecipe, blind
from genkit_weather.networks import LamUNet

LEAST = 1e-3  # of the unit: a variable that is observed everywhere without error


@dataclass(frozen=True, kw_only=True)
class OIDiffusion(StateRecipe):
    """Conditional diffusion of what the analysis of optimal interpolation leaves, for any network of stations.

    Trained on random networks, errors and variables over the training split. The background is what is expected from
    the frame, or, where the data have `Series.forecast`, a mean of that and of these.
    """

    fixed: ClassVar[tuple[str, ...]] = ("network", "steps", "keep", "shape")
    told: ClassVar[int] = 4  # see `channels`

    examples: int = 1500
    """Analyses that are learned from, each of a random time and network."""
    stations: tuple[int, int] = (4, 60)
    """Least and most stations of a network."""
    errors: tuple[float, float] = (0.03, 0.5)
    """Least and largest error of observations, in standard deviations of a variable."""
    keep: float = 0.6
    """Of a forecast's departure from what is expected, in the background, 0 to 1: less than is best for one analysis,
    since a cycle that keeps more of it forgets what the frame tells."""
    shape: Shape = field(default_factory=lambda: Shape(16.0, 0.0))
    """How the covariance of the background's error is used."""

    @classmethod
    def preset(cls, name: str) -> OIDiffusion:
        """Presets tiny (CI), default (minutes on two cores), paper (a larger network)."""
        if name == "tiny":
            return cls(network=TINY, steps=20, batch=4, examples=16, sampler=Euler(steps=6))
        if name == "paper":
            return cls(network=LamUNet.preset("paper"), steps=100_000, examples=20_000)
        return cls()

    def __post_init__(self) -> None:
        """Check the ranges."""
        super().__post_init__()
        if not 0 < self.keep <= 1:
            raise UsageError(f"keep={self.keep} must be a share of the forecast, above 0 and at most 1")
        for name in ("stations", "errors"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise UsageError(f"{name}={low} {high} must be two positive numbers, the least first")

    def fit(self, run: Any, data: Folds, start: OIModel | None = None) -> OIModel:
        """Analyse random networks, then train on what the analyses leave."""
        weather, parts = data.weather, data.train
        cycled = all(s.forecast is not None for s in (*(s for _, s in parts), *weather.val))
        if start is None:
            climate, v = data.climate, len(weather.names)
            held_out = [(climate, s) for s in weather.val]
            keep, ratio = (self.keep, left(climate, held_out, self.keep)) if cycled else (0.0, np.ones(v))
            factor = climate.covariance.factor.reshape(-1, *climate.shape) * np.sqrt(ratio)
            covariance = replace(climate.covariance, factor=factor.reshape(len(factor), -1).astype(np.float32))
            denoiser = self.denoiser(run, weather.layout)
            unit, steps = np.ones(v, np.float32), self.steps
            start = OIModel(
                Area.of(weather), climate, denoiser, unit, self.sampler, covariance, np.float32(keep), unit, self.shape
            )
            train = self.analysed(run, start, parts, self.examples, 0)
            unit = np.maximum(np.sqrt((train[2] ** 2).mean((0, 1, 2))), LEAST)
            start, train = replace(start, unit=unit), (*train[:2], train[2] / unit)
        else:
            if cycled != start.cycled:
                raise UsageError("a model goes on with backgrounds of the kind that it was trained with")
            parts = [(start.climate, s) for _, s in parts]
            steps, train = self.finetune, self.analysed(run, start, parts, self.examples, 0)
        held_out = [(start.climate, s) for s in weather.val]
        val = Arrays(self.analysed(run, start, held_out, min(self.examples, VALIDATION), 1))
        model = replace(start, denoiser=self.fitted(run, "oi_diffusion", start, Arrays(train), val, steps))
        return replace(model, share=shares(run.key("shares"), model, self.known(val)))

    def analysed(
        self, run: Any, model: OIModel, parts: Sequence[tuple[Climate, Series]], count: int, split: int
    ) -> Any:
        """(situation, channels, r) of so many analyses, each of a time and a network of its own."""
        index = np.array([(i, t) for i, (_, one) in enumerate(parts) for t in cycled_rows(one)])
        rng = np.random.default_rng((run.seed, split))
        index = index[rng.permutation(len(index))]
        found = [self._one(rng, model, parts[i], t) for i, t in np.resize(index, (count, 2))]
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *found)

    def _one(self, rng: np.random.Generator, model: OIModel, part: tuple[Climate, Series], time: int) -> Any:
        names, (climate, series) = model.area.names, part
        situation, truth = climate.situation(series, [time]), climate.states(series, [time])
        low, high = np.log(self.stations)
        count = round(float(np.exp(rng.uniform(low, high))))
        every = tuple(quantity(name, names) for name in names)
        network = Network.random(rng, climate.shape, count, every, climate.mean, climate.std)
        error = np.exp(rng.uniform(np.log(self.errors[0]), np.log(self.errors[1]), len(names)))
        # half of the networks have all variables, the others some
        measured = (rng.random(len(names)) < 0.5) | (rng.random() < 0.5)
        measured[rng.integers(len(names))] = True
        errors = np.where(measured, error * climate.std, np.inf)
        observed = network.measure(rng, truth[0].astype(float), np.broadcast_to(errors, (count, len(names))))
        analysis, told = model.first(situation, backgrounds(climate, series, [time])[0], observed)
        return situation, told[None], ((truth - analysis) / model.unit).astype(np.float32)


def shares(key: Any, model: OIModel, batches: Sequence[Any]) -> np.ndarray:
    """(V,) multiples, 0 to 1, of what the network expects that are nearest to what analyses left: by least squares."""
    over = under = 0.0
    for situation, told, r in batches:
        mean = np.asarray(blind(key, model.denoiser, model.climate.condition(situation, told), r.shape))
        over, under = over + (r * mean).sum((0, 1, 2)), under + (mean**2).sum((0, 1, 2))
    return np.clip(over / np.maximum(under, 1e-12), 0, 1).astype(np.float32)


def cycled_rows(series: Series) -> np.ndarray:
    """Times of which there is a forecast; all where the series has none."""
    if series.forecast is None:
        return np.arange(len(series))
    return np.flatnonzero(np.isfinite(series.forecast).all((1, 2, 3)))


def backgrounds(climate: Climate, series: Series, rows: Any) -> np.ndarray:
    """(n, h, w, V) forecasts of times of a series, standardised; the truth, of no weight, where it has none."""
    return climate.states(series if series.forecast is None else replace(series, state=series.forecast), rows)


def left(climate: Climate, parts: Sequence[tuple[Climate, Series]], keep: float) -> np.ndarray:
    """(V,) variance of the error of x + keep (f - x), of forecasts f and what is expected, x, over that of x."""
    total, count = 0.0, 0
    for one, series in parts:
        rows = cycled_rows(series)
        expected = one.situation(series, rows).expected
        error = one.states(series, rows) - expected - keep * (backgrounds(one, series, rows) - expected)
        total, count = total + (error**2).sum((0, 1, 2)), count + error[..., 0].size
    return total / count / climate.covariance.variance.reshape(climate.shape).mean((0, 1))
