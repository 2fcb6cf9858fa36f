"""The tracer in constant wind against its closed forms."""

from dataclasses import replace

import numpy as np
import pytest

from genkit.errors import UsageError
from genkit_weather.data import statistics
from genkit_weather.datasets.synthetic_advection import AREA, FRAME, POINTS, SyntheticAdvection, Waves

ALL = np.arange(POINTS)


def spectrum(waves, time):
    """Fourier coefficients (ky, kx) of the field of the whole domain."""
    return np.fft.fft2(waves(np.array([time]), ALL, ALL)[0]) / POINTS**2


def test_a_mode_decays_and_turns_as_it_should():
    wind, kappa, time = np.array([1.3, -0.6]), 0.2, 5.0
    waves = Waves(np.array([2.0]), np.array([[3, -2]]), np.array([0.4]), wind, kappa)
    k = 2 * np.pi / POINTS * np.array([3, -2])
    expected = 2.0 / 2 * np.exp(0.4j) * np.exp(-kappa * (k @ k) * time) * np.exp(-1j * (k @ wind) * time)
    assert spectrum(waves, time)[-2, 3] == pytest.approx(expected, abs=1e-12)


def test_the_equation_holds():
    waves = Waves.draw(np.random.default_rng(1), np.array([0.7, 1.1]), 0.3, waves=5)
    dt = 1e-3
    before, now, after = waves(np.array([2 - dt, 2, 2 + dt]), ALL, ALL)
    ik = 2j * np.pi * np.fft.fftfreq(POINTS)
    q = np.fft.fft2(now)
    dx, dy = (np.fft.ifft2(q * f).real for f in (ik, ik[:, None]))
    laplace = np.fft.ifft2(q * (ik**2 + ik[:, None] ** 2)).real
    np.testing.assert_allclose((after - before) / (2 * dt), -0.7 * dx - 1.1 * dy + 0.3 * laplace, atol=1e-6)


def test_whole_cells_of_wind_without_diffusion_are_a_shift():
    data = SyntheticAdvection(wind=(2.0, -1.0), diffusion=0.0, train=1, val=1, test=1).load()
    q = data.train[0].state[..., 0]
    np.testing.assert_allclose(q[1:, :-1, 2:], q[:-1, 1:, :-2], atol=1e-5)
    whole = Waves.draw(np.random.default_rng(0), np.zeros(2), 0.0, waves=6)
    assert whole(np.zeros(1), ALL, ALL).var() == pytest.approx(1, rel=1e-9)


def test_layout_oracle_and_winds():
    options = SyntheticAdvection(wind_spread=0.2, train=40, val=1, test=2, length=6)
    data = options.load()
    size = AREA.stop - AREA.start
    assert data.layout == options.layout() and data.grid == (size, size) and data.frame == (FRAME, FRAME)
    winds = np.stack([s.forcing[0, 0, 0] for s in data.train])
    assert np.abs(winds.mean(0) - options.wind).max() < 0.1 and np.abs(winds.std(0) - 0.2).max() < 0.06
    exact = data.oracle([1, 2], 3, [1, 3])
    assert exact.shape == (2, 2, 3, size, size, 1)
    np.testing.assert_allclose(exact[1, 1, 2], data.test[0].state[5], atol=1e-6)
    one_wind = replace(options, wind_spread=0.0).load()
    assert (statistics(one_wind).forcing_std == 1).all()


def test_impossible_options_are_refused():
    for change in ({"train": 0}, {"waves": 32}, {"diffusion": -1.0}):
        with pytest.raises(UsageError, match="synthetic_advection: .*" + next(iter(change))):
            SyntheticAdvection(**change).load()
