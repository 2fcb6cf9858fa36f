"""The snapshot prior and the diffusion about optimal interpolation, untrained and after a few steps."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from genkit.diffusion import Heun
from genkit.nn import parameter_count
from genkit.testing import gaussian_denoiser
from genkit_weather.assimilation import Climate, Folds, Network, quantity
from genkit_weather.cycling import OIDiffusion as Analysis
from genkit_weather.data import statistics
from genkit_weather.models import OIDiffusion, Snapshot
from genkit_weather.models.oi import left, shares
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

    climate, series = Folds.of(data).climate, data.train[0]
    by_baseline = FrameRegression().fit(data)(series, [2, 3], [0])[:, 0, 0][:, 1:-1, 2:-2]
    situation = climate.situation(series, [2, 3])
    assert np.allclose(climate.physical(situation.expected), by_baseline, atol=1e-4)
    assert climate.covariance.shape == (3, 2, 2)


def test_errors_of_the_expectation_are_those_of_states_that_it_was_not_fitted_to(toy_data):
    data = toy_data(frame=(0, 0))  # the expectation is a mean then, of the states of all other parts
    climate, stats = Folds.of(data).climate, statistics(data)
    x = np.stack([(s.state - stats.mean) / stats.std for s in data.train])
    parts = [(i, rows) for i in (0, 1) for rows in (slice(0, 2), slice(2, 5), slice(5, 7))]  # three of each series
    others = [np.delete(x.reshape(14, -1), np.arange(14).reshape(2, 7)[part].ravel(), 0).mean(0) for part in parts]
    errors = np.concatenate([x[part].reshape(-1, 60) - other for part, other in zip(parts, others, strict=True)])
    assert np.allclose(climate.covariance.variance, (errors**2).mean(0), rtol=1e-3)


def test_without_a_frame_the_mean_of_each_cell_is_expected(toy_data):
    data = toy_data(frame=(0, 0))
    climate = Folds.of(data).climate
    mean = np.concatenate([s.state for s in data.train]).mean(0)
    assert np.allclose(climate.physical(climate.situation(data.test[0], [0]).expected)[0], mean, atol=1e-4)


def test_the_condition_has_the_sizes_of_the_network(data):
    climate = Folds.of(data).climate
    cond = climate.condition(climate.situation(data.test[0], [0, 1]), np.zeros((2, 3, 2, 8)))
    sizes = Climate.sizes(data.layout, 8)
    assert cond.interior.shape == (2, 3, 2, sizes.interior) and cond.frame.shape == (2, 24, sizes.boundary)
    assert cond.scalars.shape == (2, sizes.scalars)


def trained(recipe, run, folds, monkeypatch):
    monkeypatch.setattr(type(recipe), "learn", lambda self, run, name, loss, params, *_: params)
    return recipe.fit(run, folds)


def test_the_prior_s_units_and_observations_are_those_of_its_residual(run, data, monkeypatch):
    model = trained(Snapshot(network=LamUNet.preset("tiny")), run, Folds.of(data), monkeypatch)
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
    model = trained(OIDiffusion.preset("tiny"), run, Folds.of(data), monkeypatch)
    model = replace(model, denoiser=gaussian_denoiser(0.0, std=1e-6))
    rng, climate = np.random.default_rng(0), model.climate
    network = Network.random(rng, climate.shape, 5, [quantity("a", data.names)], climate.mean, climate.std)
    truth, situation = climate.states(data.test[0], [3])[0], climate.situation(data.test[0], [3])
    observed = network.measure(rng, truth.astype(float), np.full((5, 1), 0.1))
    states = model.analyse(jax.random.key(0), situation, truth + 7, observed, 3)  # no forecast is trusted
    analysis, _ = climate.covariance.analyse(situation.expected, observed, model.shape)
    assert np.allclose(states, analysis, atol=1e-4)


def test_members_are_centred_at_the_share_of_what_the_network_expects(run, data, monkeypatch):
    model = trained(OIDiffusion.preset("tiny"), run, Folds.of(data), monkeypatch)
    share = np.array([0.25, 1.0])
    model = replace(model, denoiser=gaussian_denoiser(2.0, std=0.5), share=share, sampler=Heun(steps=40))
    network = Network.random(np.random.default_rng(0), model.climate.shape, 1, [quantity("a", data.names)],
                             model.climate.mean, model.climate.std)  # fmt: skip
    situation, nothing = model.climate.situation(data.test[0], [3]), network.observed(np.zeros((1, 1)), 1.0).without()
    states = model.analyse(jax.random.key(0), situation, np.zeros(model.climate.shape), nothing, 400)
    assert np.allclose(states.mean(0), situation.expected[0] + share * 2 * model.unit, atol=0.01)
    assert np.allclose(states.std(0, ddof=1).mean((0, 1)) / model.unit, 0.5, rtol=0.1)


def test_the_share_is_the_least_squares_multiple_between_0_and_1(run, data, monkeypatch):
    model = trained(OIDiffusion.preset("tiny"), run, Folds.of(data), monkeypatch)
    model, (h, w, v) = replace(model, denoiser=gaussian_denoiser(2.0)), model.climate.shape
    situation, told = model.climate.situation(data.test[0], [2, 3]), np.zeros((2, h, w, 4 * v), np.float32)
    for found, expected in (([0.5, 5.0], [0.25, 1]), ([-1.0, 2.0], [0, 1])):
        batches = [(situation, told, np.broadcast_to(found, (2, h, w, v)) + sign) for sign in (1.0, -1.0)]
        assert np.allclose(shares(jax.random.key(0), model, batches), expected, atol=1e-2)


def test_a_background_keeps_a_share_of_the_forecast_and_has_its_own_variance(run, data, monkeypatch):
    folds = Folds.of(data)
    climate = folds.climate

    def forecast(series):
        """x + 4 (t - x) of the first variable, x of the second; none at first."""
        x = climate.physical(climate.situation(series, range(len(series))).expected)
        known = series.state.copy()
        known[:, 1:-1, 2:-2] = x + (series.state[:, 1:-1, 2:-2] - x) * [4.0, 0.0]
        known[0] = np.nan
        return replace(series, forecast=known.astype(np.float32))

    val = forecast(data.val[0])
    own = climate.states(val, range(1, 7)) - climate.situation(val, range(1, 7)).expected
    ratio = (own**2).mean((0, 1, 2)) / climate.covariance.variance.reshape(climate.shape).mean((0, 1))
    # t - x - keep (f - x) = (1 - 4 keep) (t - x), and t - x
    assert np.allclose(left(climate, [(climate, val)], 0.5), ratio * [1, 1], rtol=1e-3)
    assert np.allclose(left(climate, [(climate, val)], 0.25), ratio * [0, 1], rtol=1e-3, atol=1e-6)
    train = tuple((own, replace(s, forecast=s.state)) for own, s in folds.train)
    known = Folds(replace(data, val=(val,)), climate, train)
    model = trained(replace(OIDiffusion.preset("tiny"), keep=0.3), run, known, monkeypatch)
    assert model.cycled and Analysis(model).cycled
    variance = model.covariance.variance.reshape(climate.shape).mean((0, 1))
    assert np.allclose(
        variance, ratio * [0.04, 1] * climate.covariance.variance.reshape(climate.shape).mean((0, 1)), rtol=1e-3
    )
    blank = np.zeros((1, 1))
    observed = Network.random(np.random.default_rng(0), climate.shape, 1, (quantity("a", data.names),), climate.mean,
                              climate.std).observed(blank, 1.0).without()  # fmt: skip
    situation, given = model.climate.situation(data.test[0], [3]), np.ones(climate.shape)
    analysis, _ = model.first(situation, given, observed)
    assert np.allclose(analysis, 0.7 * situation.expected[0] + 0.3 * given, atol=1e-5)


def test_what_a_forecaster_knows_is_no_forecast(run, data, monkeypatch):
    near = {
        split: tuple(replace(s, analysis=s.state + 0.01) for s in getattr(data, split)) for split in ("train", "val")
    }
    model = trained(OIDiffusion.preset("tiny"), run, Folds.of(replace(data, **near)), monkeypatch)
    assert not model.cycled and not np.any(model.keep) and not Analysis(model).cycled


@pytest.mark.parametrize("recipe", [Snapshot.preset("tiny"), OIDiffusion.preset("tiny")])
def test_a_plan_counts_the_parameters_of_the_network(run, data, recipe, monkeypatch):
    count = parameter_count(trained(recipe, run, Folds.of(data), monkeypatch).denoiser.params)
    assert recipe.plan(data.layout, 1)["parameters"] == f"{count:,}"


def test_the_network_is_told_the_same_of_any_unit(data):
    rng, climate = np.random.default_rng(0), Folds.of(data).climate
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
