"""Precipitation on a logarithmic scale: seen so by the network, in its units for everybody else."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
import pytest

from genkit.errors import DataError, UsageError
from genkit.tree import register_dataclass
from genkit_weather.data import statistics
from genkit_weather.lam import Formulation, domain_of
from genkit_weather.models import Area, Diffusion, GraphLAMRecipe, WeatherModel
from genkit_weather.models.transform import Transform


@register_dataclass
@dataclass(frozen=True)
class Shift:
    """A step that adds a number in standard deviations."""

    domain: Any
    by: Any

    def step(self, key, inputs, slots):
        return inputs.prev + self.by


@pytest.fixture
def rain(toy_data):
    """Variables a (never negative, a half of it nothing) and b."""
    data = toy_data()

    def wet(one):
        return replace(one, state=np.stack([np.maximum(one.state[..., 0], 0), one.state[..., 1]], -1))

    return replace(data, **{name: tuple(map(wet, split)) for name, split in data.splits().items()})


def test_there_and_back_and_never_below_nothing(rain):
    transform = Transform.of(rain, {"a": 0.5})
    x = rain.train[0].state
    z = transform.forward(x)
    np.testing.assert_allclose(z[..., 0], np.log(1 + 2 * x[..., 0]), rtol=1e-6)
    np.testing.assert_array_equal(z[..., 1], x[..., 1])
    np.testing.assert_allclose(transform.inverse(z), x, rtol=1e-5, atol=1e-6)
    below = transform.inverse(np.array([[-0.3, -0.3]], np.float32))
    np.testing.assert_allclose(below, [[0.0, -0.3]])


def test_the_model_sees_logarithms_and_forecasts_amounts(rain):
    recipe = Diffusion(log={"a": 0.5})
    seen = recipe.seen(rain, None)
    logs = np.concatenate([np.log1p(2 * s.state[..., 0]).ravel() for s in rain.train])
    stats = statistics(seen)
    np.testing.assert_allclose([stats.mean[0], stats.std[0]], [logs.mean(), logs.std()], rtol=1e-5)
    np.testing.assert_allclose(stats.mean[1], statistics(rain).mean[1], rtol=1e-6)
    domain = domain_of(seen, Formulation("persistence", fill=False))
    for by in (0.0, 0.25, -9.0):
        model = WeatherModel(Area.of(rain), Shift(domain, np.float32(by)), transform=Transform.of(rain, recipe.log))
        pieces = model.forecast(jax.random.key(0), model.outlook(rain, rain.test[0], [2], 2), 1)
        states = np.concatenate([x for _, x in pieces], 1)[0, :, 0]
        truth, inside = rain.test[0].state, rain.interior
        later = np.log1p(2 * truth[2][inside][..., 0]) + np.arange(1, 3)[:, None, None] * by * stats.std[0]
        np.testing.assert_allclose(states[:, *inside, 0], 0.5 * np.expm1(np.maximum(later, 0)), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(states[:, rain.frame_mask], truth[3:5, rain.frame_mask], rtol=1e-4, atol=1e-4)


def test_what_cannot_be_seen_so(rain):
    with pytest.raises(UsageError, match="log names t, but toy has a, b"):
        Transform.of(rain, {"t": 1.0})
    with pytest.raises(DataError, match="toy: b falls to -"):
        statistics(Diffusion(log={"b": 1.0}).seen(replace(rain, train=(replace(
            rain.train[0], state=-rain.train[0].state),)), None))  # fmt: skip
    with pytest.raises(UsageError, match=r"log a 0 is no scale"):
        Diffusion(log={"a": 0.0})
    with pytest.raises(UsageError, match="a has a bound, and log keeps it above 0 already"):
        GraphLAMRecipe(log={"a": 1.0}, lower={"a": 0.0})
