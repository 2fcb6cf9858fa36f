"""Lorenz-96: equations, climate, frame, exact ensembles."""

from dataclasses import replace

import numpy as np
import pytest

from genkit.errors import UsageError
from genkit_weather.datasets import l96
from genkit_weather.datasets.l96 import L96


@pytest.fixture(scope="module")
def data():
    return L96(train=10, val=1, test=2, length=150).load()


def test_steps_are_of_fourth_order(monkeypatch):
    x = 8 + np.random.default_rng(0).standard_normal((3, 40))
    rng = np.random.default_rng(0)
    errors = []
    results = {}
    for refine in (1, 2, 8):
        monkeypatch.setattr(l96, "DT", 0.05 / refine)
        monkeypatch.setattr(l96, "SUBSTEPS", refine)
        results[refine] = l96.trajectory(x, 1, 0.0, rng)[0]
    errors = [np.abs(results[r] - results[8]).max() for r in (1, 2)]
    assert 11 < errors[0] / errors[1] < 22


def test_climate_and_persistence(data):
    x = np.stack([s.state for s in (*data.train, *data.val, *data.test)])[..., 0, :, 0]
    assert x.mean() == pytest.approx(2.335, abs=0.1) and x.std() == pytest.approx(3.638, rel=0.03)
    inner = x[:, :, 4:-4]
    for lag, expected in ((1, 0.928), (2, 1.807), (4, 3.280), (8, 4.915)):
        assert np.sqrt(((inner[:, lag:] - inner[:, :-lag]) ** 2).mean()) == pytest.approx(expected, rel=0.05)


def test_the_area_is_a_row_with_a_frame_left_and_right(data):
    assert data.grid == (1, 32) and data.frame == (0, 4) and data.interior == (slice(0, 1), slice(4, 28))
    assert data.frame_mask.sum() == 8 and np.array_equal(data.static[..., 0], data.frame_mask)
    assert data.test[0].forcing.shape == (150, 1, 1, 0)


def test_without_noise_the_oracle_is_the_truth_and_with_noise_it_is_calibrated(data):
    runs = data.oracle([0, 30], 2, [0, 1, 8])
    for j, start in enumerate((0, 30)):
        assert np.allclose(runs[j, :, 1], data.test[0].state[[start, start + 1, start + 8]], atol=1e-4)
    noisy = L96(noise=0.5, train=1, val=1, test=1, length=200).load()
    starts = np.arange(0, 190, 4)
    drawn = noisy.oracle(starts, 10, [2])[:, 0]
    spread = np.sqrt(drawn.var(1, ddof=1).mean())
    error = np.sqrt(((drawn.mean(1) - noisy.test[0].state[starts + 2]) ** 2).mean())
    assert np.sqrt(1.1) * spread / error == pytest.approx(1, abs=0.1)
    assert np.allclose(noisy.oracle(starts[3:4], 10, [2])[0, 0], drawn[3])


def test_trajectories_repeat_and_depend_on_the_seed(data):
    options = L96(train=1, val=1, test=1, length=5)
    assert np.array_equal(options.load().test[0].state, options.load().test[0].state)
    assert not np.array_equal(options.load().test[0].state, replace(options, seed=1).load().test[0].state)
    with pytest.raises(UsageError, match="l96"):
        L96(length=2).load()
