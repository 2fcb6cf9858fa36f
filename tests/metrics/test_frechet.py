"""Distances of Gaussians whose value is known."""

import numpy as np
import pytest

from genkit.metrics import frechet_distance, frechet_of_samples


def test_known_values():
    assert frechet_distance([1, 2], np.diag([4, 9]), [0, 0], np.diag([1, 16])) == pytest.approx(7, abs=1e-12)
    s1, s2 = [[2, 1], [1, 2]], np.diag([1, 3])
    assert frechet_distance([0, 0], s1, [1, -1], s2) == pytest.approx(2.516685226452119, abs=1e-12)
    assert frechet_distance([1, -1], s2, [0, 0], s1) == pytest.approx(2.516685226452119, abs=1e-12)


def test_samples_of_low_rank():
    x = np.random.default_rng(0).normal(size=(5, 20))
    assert frechet_of_samples(x, x) == pytest.approx(0, abs=1e-6)
    assert frechet_of_samples(x, x + 1) == pytest.approx(20, rel=1e-6)
    one = np.arange(4.0)[:, None]
    assert frechet_of_samples(one, 2 * one) == pytest.approx(1.5**2 + np.var(one, ddof=1))
