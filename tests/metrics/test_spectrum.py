"""Spectra of single modes, of white noise, and Parseval's identity."""

import numpy as np
import pytest

from genkit import metrics


@pytest.mark.parametrize("shape", [(16, 16), (3, 12, 20), (1, 24)])
def test_powers_sum_to_the_variance(shape):
    field = np.random.default_rng(0).normal(2.0, 1.5, shape).astype(np.float32)
    np.testing.assert_allclose(metrics.dct_spectrum(field).power.sum(-1), field.var(axis=(-2, -1)), rtol=1e-5)


def test_one_cosine_fills_one_bin():
    y, x = np.meshgrid(np.arange(24) + 0.5, np.arange(24) + 0.5, indexing="ij")
    field = 3 + 2 * np.cos(np.pi * 5 * y / 24) + np.cos(np.pi * 3 * y / 24) * np.cos(np.pi * 4 * x / 24)
    frequency, power = metrics.dct_spectrum(field.astype(np.float32))
    # Both have |k| = 5 half waves in 24 cells: variances 4/2 and 1/4.
    expected = np.zeros(power.size)
    expected[4] = 2.25
    np.testing.assert_allclose(power, expected, atol=1e-5)
    assert frequency[4] == pytest.approx(5 / 48)


def test_a_linear_trend_hardly_leaks():
    """A cosine transform mirrors the field: of a ramp 96/pi^4 = 98.6 % of the variance is in the longest half wave."""
    ramp = np.broadcast_to(np.arange(32, dtype=np.float32), (32, 32))
    power = metrics.dct_spectrum(ramp).power
    assert power[0] / power.sum() == pytest.approx(96 / np.pi**4, abs=2e-3)


def test_white_noise_has_equal_power_in_every_mode():
    field = np.random.default_rng(0).normal(size=(400, 16, 16)).astype(np.float32)
    _, power = metrics.dct_spectrum(field)
    m, n = np.meshgrid(np.arange(16), np.arange(16))
    modes = np.bincount(np.floor(np.hypot(m, n)).astype(int).ravel())[1:]
    np.testing.assert_allclose(power.mean(0), modes / 256, rtol=0.15)


def test_log_ratio():
    np.testing.assert_allclose(metrics.log_ratio(np.float32([1, 2]), np.float32([10, 2])), [-1, 0], atol=1e-6)
