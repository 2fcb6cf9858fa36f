"""Scores of one forecast, against numbers worked out by hand and against `scores`."""

import jax
import numpy as np
import pytest
import scores.continuous as peer
import xarray as xr

from genkit import metrics


def fields(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape).astype(np.float32), rng.normal(size=shape).astype(np.float32)


def test_by_hand():
    pred, obs = np.float32([1, 2, 5]), np.float32([0, 4, 5])
    assert metrics.mse(pred, obs) == pytest.approx(5 / 3)
    assert metrics.mae(pred, obs) == pytest.approx(1)
    assert metrics.bias(pred, obs) == pytest.approx(-1 / 3)
    assert metrics.rmse(pred, obs, weights=np.float32([1, 0, 3])) == pytest.approx(0.5)
    assert metrics.psnr(pred, obs, 2.0) == pytest.approx(10 * np.log10(4 * 3 / 5))


def test_root_after_or_before_the_mean_over_forecasts():
    pred, obs = np.float32([[3, 3], [4, -4]]), np.zeros((2, 2), np.float32)
    assert metrics.rmse(pred, obs) == pytest.approx(12.5**0.5)
    assert metrics.rmse(pred, obs, sqrt_first=True) == pytest.approx(3.5)
    np.testing.assert_allclose(metrics.rmse(pred, obs, reduce=1, sqrt_first=True), [3, 4])


def test_agrees_with_scores():
    pred, obs = fields(5, 6, 7)
    weights = np.random.default_rng(1).uniform(0.1, 2, (6, 7)).astype(np.float32)
    dims = ("n", "y", "x")
    a, b, w = (
        xr.DataArray(pred, dims=dims),
        xr.DataArray(obs, dims=dims),
        xr.DataArray(weights, dims=dims[1:]),
    )
    pairs = [(metrics.rmse, peer.rmse), (metrics.mae, peer.mae), (metrics.bias, peer.additive_bias)]
    for ours, theirs in pairs:
        expected = theirs(a, b, weights=w, preserve_dims="n")
        np.testing.assert_allclose(ours(pred, obs, weights, (1, 2)), expected, rtol=2e-6, atol=1e-7)


def test_cell_of_weight_zero_may_hold_anything():
    pred = np.float32([1, np.nan, 2])
    obs = np.zeros(3, np.float32)
    assert metrics.mae(pred, obs, weights=np.float32([1, 0, 1])) == pytest.approx(1.5)


def test_float32_mean_of_many_cells_is_exact():
    x = np.full((10_000_019,), 0.1, np.float32)
    zero, weights = np.zeros(1, np.float32), np.ones(1, np.float32)
    for w in (None, weights):
        assert jax.jit(metrics.bias)(x, zero, w) == pytest.approx(float(np.float32(0.1)), rel=5e-7)
