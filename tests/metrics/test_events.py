"""Contingency tables by hand."""

import numpy as np
import pytest

from genkit.metrics import contingency, fractions


def test_a_table_by_hand():
    """Finley's tornado forecasts of 1884: 28 hits, 72 false alarms, 23 misses, 2680 rejections; ETS .216 (Wilks)."""
    counts = np.array([28, 72, 23, 2680])
    pred, obs = np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)
    table = contingency(pred, obs)
    np.testing.assert_allclose(np.array(table) * counts.sum(), counts, rtol=1e-5)
    chance = 100 * 51 / 2803
    assert float(table.ets) == pytest.approx((28 - chance) / (123 - chance), rel=1e-4)
    assert float(table.ets) == pytest.approx(0.216, abs=5e-4)
    assert float(table.frequency_bias) == pytest.approx(100 / 51, rel=1e-5)


def test_limits_weights_and_axes():
    obs = np.array([[True, False, True, False], [True, True, False, False]])
    assert np.asarray(contingency(obs, obs, reduce=1).ets) == pytest.approx([1, 1])
    assert float(contingency(~obs, obs).ets) == pytest.approx(-1 / 3)
    assert float(contingency(np.array([1, 1, 0, 0]), np.array([1, 0, 1, 0])).ets) == pytest.approx(0, abs=1e-6)
    assert np.isnan(contingency(np.zeros(3), np.zeros(3)).ets)
    some = contingency(obs[0], obs[1], weights=np.array([1.0, 3, 0, 0]))
    assert np.array(some) == pytest.approx([0.25, 0, 0.75, 0])


def test_fractions_of_a_point_displaced():
    """An event one cell off scores 0 by cells; in squares of n cells 1 - 1/n (Roberts & Lean 2008, sec. 3)."""
    obs, pred = np.zeros((21, 21)), np.zeros((21, 21))
    obs[10, 10] = pred[10, 11] = 1
    assert float(fractions(pred, obs, 1).fss) == pytest.approx(0, abs=1e-6)
    for n in (3, 5, 9):
        assert float(fractions(pred, obs, n).fss) == pytest.approx(1 - 1 / n, rel=1e-5)
    assert float(fractions(obs, obs, 3).fss) == pytest.approx(1)
    assert np.isnan(fractions(0 * obs, 0 * obs, 3).fss)


def test_fractions_at_the_border_and_where_nothing_is_known():
    """Squares cut at the border; by hand on a row of four cells, with the third unknown."""
    pred, obs = np.array([[[1.0, 0, 1, 0]]]), np.array([[[0.0, 1, 0, 1]]])
    whole = fractions(pred, obs, 3, reduce=(0, 1, 2))
    p, o = np.array([1 / 2, 2 / 3, 1 / 3, 1 / 2]), np.array([1 / 2, 1 / 3, 2 / 3, 1 / 2])
    assert np.array(whole) == pytest.approx([((p - o) ** 2).mean(), (p**2 + o**2).mean()])
    p, o = np.array([1 / 2, 1 / 2, 0]), np.array([1 / 2, 1 / 2, 1])
    part = fractions(pred, obs, 3, weights=np.array([[1, 1, 0, 1.0]]), reduce=(1, 2))
    assert np.array(part)[:, 0] == pytest.approx([((p - o) ** 2).mean(), (p**2 + o**2).mean()])
