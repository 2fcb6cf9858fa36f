"""The snapshot prior and the diffusion about optimal interpolation, untrained and after a few steps."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from genkit.nn import parameter_count
from genkit.testing import gaussian_denoiser
from genkit_weather.assimilation import Climate, Network, quantity
from genkit_weather.cycling import OIDiffusion as Analysis
from genkit_weather.data import statistics
from genkit_weather.models import OIDiffusion, Snapshot
from genkit_weather.models.oi import trust
from genkit_weather.models.state import channels
from genkit_weather.networks import LamUNet


@pytest.fixture
def run():
    return SimpleNamespace(seed=0, key=lambda name: jax.random.key(0), fit=lambda phase: None)


@pytest.fixture
def data(toy_data):
    return toy_data()


def test_the_expectation_is_the_frame_regression_and_its_errors_are_the_covariance(data):
    from genkit_weather.baselines import FrameRegression

    climate, series = Climate.of(data), data.train[0]
    by_baseline = FrameRegression().fit(data)(series, [2, 3], [0])[:, 0, 0][:, 1:-1, 2:-2]
    situation = climate.situation(series, [2, 3])
    assert np.allclose(climate.physical(situation.expected), by_baseline, atol=1e-4)
    assert climate.covariance.shape == (3, 2, 2)


def test_errors_of_the_expectation_are_those_of_states_that_it_was_not_fitted_to(toy_data):
    data = toy_data(frame=(0, 0))  # the expectation is a mean then, of the states of all other parts
    climate, stats = Climate.of(data), statistics(data)
    x = np.stack([(s.state - stats.mean) / stats.std for s in data.train])
    parts = [(i, rows) for i in (0, 1) for rows in (slice(0, 2), slice(2, 5), slice(5, 7))]  # three of each series
    others = [np.delete(x.reshape(14, -1), np.arange(14).reshape(2, 7)[part].ravel(), 0).mean(0) for part in parts]
    errors = np.concatenate([x[part].reshape(-1, 60) - other for part, other in zip(parts, others, strict=True)])
    assert np.allclose(climate.covariance.variance, (errors**2).mean(0), rtol=1e-3)


def test_without_a_frame_the_mean_of_each_cell_is_expected(toy_data):
    data = toy_data(frame=(0, 0))
    climate = Climate.of(data)
    mean = np.concatenate([s.state for s in data.train]).mean(0)
    assert np.allclose(climate.physical(climate.situation(data.test[0], [0]).expected)[0], mean, atol=1e-4)


def test_the_condition_has_the_sizes_of_the_network(data):
    climate = Climate.of(data)
    cond = climate.condition(climate.situation(data.test[0], [0, 1]), np.zeros((2, 3, 2, 8)))
    sizes = Climate.sizes(data.layout, 8)
    assert cond.interior.shape == (2, 3, 2, sizes.interior) and cond.frame.shape == (2, 24, sizes.boundary)
    assert cond.scalars.shape == (2, sizes.scalars)


def trained(recipe, run, data, monkeypatch):
    monkeypatch.setattr(type(recipe), "learn", lambda self, run, name, loss, params, *_: params)
    return recipe.fit(run, data)


def test_the_prior_s_units_and_observations_are_those_of_its_residual(run, data, monkeypatch):
    model = trained(Snapshot(network=LamUNet.preset("tiny")), run, data, monkeypatch)
    situation, truth = model.climate.situation(data.test[0], [3]), model.climate.states(data.test[0], [3])
    r = model.relative(situation, truth)
    assert np.allclose(model.states(situation, r), truth, atol=1e-5)
    network = Network.random(
        np.random.default_rng(0),
        model.climate.shape,
        4,
        (quantity("b", data.names),),
        model.climate.mean,
        model.climate.std,
    )
    observed = network.observed(np.zeros((4, 1)), 0.1)
    assert np.allclose(model.seen(situation, observed).predict(r), observed.predict(truth), atol=1e-4)


def test_a_denoiser_that_knows_nothing_leaves_the_analysis_of_oi(run, data, monkeypatch):
    model = trained(OIDiffusion.preset("tiny"), run, data, monkeypatch)
    model = replace(model, denoiser=gaussian_denoiser(0.0, std=1e-6))
    rng, climate = np.random.default_rng(0), model.climate
    network = Network.random(rng, climate.shape, 5, [quantity("a", data.names)], climate.mean, climate.std)
    truth, situation = climate.states(data.test[0], [3])[0], climate.situation(data.test[0], [3])
    observed = network.measure(rng, truth.astype(float), np.full((5, 1), 0.1))
    states = model.analyse(jax.random.key(0), situation, truth + 7, observed, 3)  # no forecast is trusted
    analysis, _ = climate.covariance.analyse(situation.expected, observed, model.shape)
    assert np.allclose(states, analysis, atol=1e-4)


def test_forecasts_are_trusted_as_far_as_they_were_right(run, data, monkeypatch):
    climate, parts = Climate.parted(data)

    def forecast(one, series):
        """x + (t - x) / keep of the first variable, a constant that says nothing of the second; none at first."""
        x = climate.physical(one.situation(series, range(len(series))).expected)
        known = series.state.copy()
        known[:, 1:-1, 2:-2] = x + (series.state[:, 1:-1, 2:-2] - x) * [4.0, -1.0]
        known[0] = np.nan
        return replace(series, forecast=known.astype(np.float32))

    parts = [(one, forecast(one, series)) for one, series in parts]
    keep, ratio = trust(climate, parts)
    assert np.allclose(keep, [0.25, 0], atol=1e-4) and np.allclose(ratio[0], 0, atol=1e-4) and ratio[1] > 0.1
    data = replace(data, train=tuple(s for _, s in parts), val=tuple(replace(s, forecast=s.state) for s in data.val))
    model = trained(OIDiffusion.preset("tiny"), run, data, monkeypatch)
    assert model.cycled and Analysis(model).cycled and np.allclose(model.keep[0], 0.25, atol=0.1)
    blank = np.zeros((1, 1))
    observed = Network.random(np.random.default_rng(0), climate.shape, 1, (quantity("a", data.names),), climate.mean,
                              climate.std).observed(blank, 1.0).without()  # fmt: skip
    situation, given = model.climate.situation(data.test[0], [3]), np.ones(climate.shape)
    analysis, _ = model.first(situation, given, observed)
    assert np.allclose(analysis, situation.expected[0] + model.keep * (given - situation.expected[0]), atol=1e-5)


def test_what_a_forecaster_knows_is_no_forecast(run, data, monkeypatch):
    near = {
        split: tuple(replace(s, analysis=s.state + 0.01) for s in getattr(data, split)) for split in ("train", "val")
    }
    model = trained(OIDiffusion.preset("tiny"), run, replace(data, **near), monkeypatch)
    assert not model.cycled and not np.any(model.keep) and not Analysis(model).cycled


@pytest.mark.parametrize("recipe", [Snapshot.preset("tiny"), OIDiffusion.preset("tiny")])
def test_a_plan_counts_the_parameters_of_the_network(run, data, recipe, monkeypatch):
    count = parameter_count(trained(recipe, run, data, monkeypatch).denoiser.params)
    assert recipe.plan(data.layout, 1)["parameters"] == f"{count:,}"


def test_the_network_is_told_the_same_of_any_unit(data):
    rng, climate = np.random.default_rng(0), Climate.of(data)
    state = rng.standard_normal(climate.shape)

    def told(unit):
        network = Network.random(
            np.random.default_rng(1),
            climate.shape,
            3,
            (quantity("a", data.names),),
            climate.mean * unit,
            climate.std * unit,
        )
        return channels(state, state, state, network.observed(np.zeros((3, 1)), 0.1 * unit))

    assert np.allclose(told(1e-8), told(1.0)) and told(1.0)[..., 6].max() > 1
