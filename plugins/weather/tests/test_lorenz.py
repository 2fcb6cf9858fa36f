"""Lorenz's systems, and the Gaussian methods of assimilation on them: figures of the literature."""

import numpy as np
import pytest

from genkit_weather.assimilation import distances, etkf, interpolate, letkf, taper
from genkit_weather.lorenz import Lorenz63, Lorenz96, Twin, rk4

ALL = Twin(Lorenz96(), tuple(range(40)))
HALF = Twin(Lorenz96(), tuple(range(0, 40, 2)))


def test_tendencies_at_points_worked_out_by_hand():
    x = np.zeros(40)
    x[[0, 1, 38, 39]] = [2.0, 3.0, 5.0, 7.0]
    # i = 0: (x_1 - x_38) x_39 - x_0 + 8; i = 1: (x_2 - x_39) x_0 - x_1 + 8
    assert Lorenz96().tendency(x)[:2] == pytest.approx([(3 - 5) * 7 - 2 + 8, (0 - 7) * 2 - 3 + 8])
    assert np.allclose(Lorenz96().tendency(np.full(40, 8.0)), 0)
    wing = np.sqrt(8 / 3 * 27)  # the fixed points of Lorenz 1963
    assert np.allclose(Lorenz63().tendency(np.array([[wing, wing, 27.0], [-wing, -wing, 27.0]])), 0)
    assert Lorenz63().tendency(np.array([1.0, 2.0, 3.0])) == pytest.approx([10, 28 - 3 - 2, 2 - 8])


def test_a_runge_kutta_step_agrees_with_the_exponential_to_fourth_order():
    growth = rk4(lambda x: -x, np.ones(1), 0.5)
    assert growth == pytest.approx(1 - 0.5 + 0.5**2 / 2 - 0.5**3 / 6 + 0.5**4 / 24)


@pytest.fixture(scope="module")
def climate():
    states = ALL.climate()
    return states.mean(0), np.cov(states.T)


def gaussian(twin, background, covariance):
    """OI with a covariance of the background, which is a mean or, for None, the forecast."""
    ph = covariance[:, list(twin.observed)]
    hph, error = ph[list(twin.observed)], np.full(len(twin.observed), twin.error)

    def analyse(ensemble, y):
        first = ensemble if background is None else np.broadcast_to(background, ensemble.shape)
        return interpolate(first, y - twin.predict(first), ph, hph, error)[0]

    return analyse


def test_optimal_interpolation_and_3dvar_on_lorenz_96(climate):
    mean, covariance = climate
    assert ALL.run(gaussian(ALL, mean, covariance), 1)[0] == pytest.approx(0.94, rel=0.1)
    assert ALL.run(gaussian(ALL, None, 0.02 * covariance), 1)[0] == pytest.approx(0.41, rel=0.1)


def transform(twin, inflation):
    error = np.full(len(twin.observed), twin.error)
    return lambda ensemble, y: etkf(ensemble, twin.predict(ensemble), y, error, inflation)


def local(twin, inflation, length):
    sites, error = np.arange(40.0)[:, None], np.full(len(twin.observed), twin.error)
    near = taper(distances(sites, sites[list(twin.observed)], (40,)), length)
    return lambda x, y: letkf(x[..., None], twin.predict(x), y, error, near, inflation)[..., 0]


@pytest.mark.parametrize(("twin", "expected"), [(ALL, 0.20), (HALF, 0.308)], ids=["all", "half"])
def test_etkf_of_24_members_on_lorenz_96(twin, expected):
    error, spread = twin.run(transform(twin, 1.03), 24)
    assert error == pytest.approx(expected, rel=0.1)
    assert 0.7 < spread / error < 1.3


@pytest.mark.parametrize(("twin", "expected"), [(ALL, 0.22), (HALF, 0.331)], ids=["all", "half"])
def test_letkf_of_10_members_on_lorenz_96(twin, expected):
    error, spread = twin.run(local(twin, 1.04, 4.0), 10)
    assert error == pytest.approx(expected, rel=0.1)
    assert 0.7 < spread / error < 1.3


def test_on_lorenz_63_flow_dependence_beats_climate():
    twin = Twin(Lorenz63(), (0, 1, 2), error=2**0.5, interval=0.25, dt=0.025)
    states = twin.climate(500)
    floor, _ = twin.run(gaussian(twin, states.mean(0), np.cov(states.T)), 1, cycles=300, burn=50)
    error, spread = twin.run(transform(twin, 1.1), 10, cycles=300, burn=50)
    assert error < 0.65 * floor < 0.65 * 2**0.5
    assert 0.7 < spread / error < 1.3
