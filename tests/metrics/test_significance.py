"""The stationary bootstrap against its closed-form variance and on cases with a known answer."""

import jax
import numpy as np
import pytest
import scipy.stats

from genkit import metrics

KEY = jax.random.key(0)


@pytest.mark.parametrize("paired", [True, False])
def test_t_interval(paired):
    """As scipy has it, which takes another way."""
    a, b = np.array([0.0, 1.0, 5.0, 2.0]), np.array([0.5, 3.0, 4.0, 7.0])
    other = scipy.stats.ttest_rel(a, b) if paired else scipy.stats.ttest_ind(a, b[:3], equal_var=False)
    found = metrics.t_interval(a, b if paired else b[:3], paired, level=0.9)
    bounds = other.confidence_interval(0.9)
    np.testing.assert_allclose(found[1:], [bounds.low, bounds.high, other.pvalue])
    assert found.mean == pytest.approx(-1.625 if paired else -0.5) == (found.low + found.high) / 2


def test_t_interval_of_equal_values():
    assert metrics.t_interval(np.full(3, 2.0), np.full(4, 1.5), False) == (0.5, 0.5, 0.5, 0.0)
    assert metrics.t_interval([1, 2], [1, 2], True) == (0, 0, 0, 1)


def test_blocks_are_consecutive_with_geometric_length():
    index = np.asarray(metrics.stationary_indices(KEY, 50, 5.0, 2000))
    assert index.min() == 0 and index.max() == 49
    follows = (index[:, 1:] - index[:, :-1]) % 50 == 1
    # A new block (probability 1/5) happens to continue the old one with probability 1/50.
    assert follows.mean() == pytest.approx(0.8 + 0.2 / 50, abs=5e-3)


def test_variance_of_the_resampled_mean():
    # Politis and Romano 1994, lemma 1: b(i) = (1 - i/n)(1 - p)^i + (i/n)(1 - p)^(n - i).
    n, block, draws = 60, 4.0, 20_000
    x = np.convolve(np.random.default_rng(0).normal(size=n + 4), np.ones(5) / 5, "valid")
    centred = x - x.mean()
    lag = np.arange(1, n)
    covariance = np.array([(centred[: n - i] * centred[i:]).sum() / n for i in range(n)])
    b = (1 - lag / n) * (1 - 1 / block) ** lag + lag / n * (1 - 1 / block) ** (n - lag)
    expected = (covariance[0] + 2 * (b * covariance[1:]).sum()) / n
    drawn = x[np.asarray(metrics.stationary_indices(KEY, n, block, draws))].mean(axis=1)
    assert drawn.var() == pytest.approx(expected, rel=0.04)


def test_constant_difference_is_certain():
    a = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    result = metrics.paired_bootstrap(KEY, a + np.float32([0.5, 0]), a, draws=200)
    np.testing.assert_allclose(result.mean, [0.5, 0], atol=1e-6)
    np.testing.assert_allclose(result.low, [0.5, 0], atol=1e-6)
    np.testing.assert_allclose(result.high, [0.5, 0], atol=1e-6)
    np.testing.assert_allclose(result.p_value, [1 / 201, 1])


def test_interval_of_independent_differences():
    # Normal differences: the interval of the mean is +- 1.96 s / sqrt(n).
    d = np.random.default_rng(2).normal(0.2, 1, 200).astype(np.float32)
    result = metrics.paired_bootstrap(KEY, d, np.zeros_like(d), block=1.0, draws=4000)
    half = 1.96 * d.std() / 200**0.5
    assert result.mean - result.low == pytest.approx(half, rel=0.08)
    assert result.high - result.mean == pytest.approx(half, rel=0.08)
