"""Rank histograms, Brier score and reliability against counting by hand and `scores`."""

import operator

import jax
import numpy as np
import pytest
import scores.probability
import xarray as xr
from scipy import stats

from genkit import metrics

KEY = jax.random.key(0)


def test_ranks_without_ties():
    ens = np.float32([[0, 0, 0], [1, 1, 1]])
    np.testing.assert_array_equal(metrics.ranks(KEY, ens, np.float32([-1, 0.5, 2])), [0, 1, 2])


def test_ties_are_spread_evenly_and_seeded():
    ens, obs = np.zeros((4, 50_000), np.float32), np.zeros(50_000, np.float32)
    counts = metrics.rank_histogram(KEY, ens, obs)
    np.testing.assert_allclose(counts, 10_000, atol=400)
    np.testing.assert_array_equal(counts, metrics.rank_histogram(KEY, ens, obs))


def test_calibrated_ensemble_is_flat_and_a_narrow_one_is_not():
    draws = np.random.default_rng(1).normal(size=(9, 20_000)).astype(np.float32)
    assert metrics.flatness(metrics.rank_histogram(KEY, draws[1:], draws[0])).p_value > 0.01
    assert metrics.flatness(metrics.rank_histogram(KEY, 0.8 * draws[1:], draws[0])).p_value < 1e-6


def test_flatness_by_hand():
    statistic, p_value = metrics.flatness([10, 20, 30])
    assert statistic == pytest.approx(10)
    assert p_value == pytest.approx(stats.chi2.sf(10, 2), rel=1e-4)


@pytest.mark.parametrize("fair", [True, False])
def test_brier_agrees_with_scores(fair):
    rng = np.random.default_rng(0)
    ens, obs = rng.normal(size=(30, 7)).astype(np.float32), rng.normal(size=30).astype(np.float32)
    expected = scores.probability.brier_score_for_ensemble(
        xr.DataArray(ens, dims=("n", "m")),
        xr.DataArray(obs, dims="n"),
        "m",
        0.3,
        fair_correction=fair,
        event_threshold_operator=operator.ge,
    )
    assert metrics.brier(ens, obs, 0.3, fair=fair, axis=1) == pytest.approx(float(expected.item()), abs=1e-6)


def test_fair_brier_integrates_to_the_fair_crps():
    rng = np.random.default_rng(0)
    ens, obs = rng.uniform(size=(4, 1)).astype(np.float32), rng.uniform(size=1).astype(np.float32)
    thresholds = (np.arange(20_000) + 0.5) / 20_000
    brier = jax.vmap(lambda t: metrics.brier(ens, obs, t))(thresholds)
    assert brier.mean() == pytest.approx(float(metrics.crps(ens, obs)), abs=2e-4)


def test_reliability_by_hand():
    result = metrics.reliability([0.1, 0.3, 0.3, 0.6, 1.0], [0, 1, 0, 1, 1])
    np.testing.assert_array_equal(result.weight, [0, 1, 0, 2, 0, 0, 1, 0, 0, 1])
    np.testing.assert_allclose(result.observed[np.array([1, 3, 6, 9])], [0, 0.5, 1, 1])
    np.testing.assert_allclose(result.forecast[np.array([1, 3, 6, 9])], [0.1, 0.3, 0.6, 1], atol=1e-6)
    assert np.isnan(result.observed[0])
