"""Distances between two sets of samples."""

import numpy as np
import pytest

from genkit.metrics import energy_distance


def test_energy_distance_counts_no_sample_with_itself():
    """Mean distances: 29/6 between the sets, 1 within the first, 14/3 within the second."""
    x, y = np.array([[0.0], [1.0]]), np.array([[2.0], [5.0], [9.0]])
    assert float(energy_distance(x, y)) == pytest.approx(2 * 29 / 6 - 1 - 14 / 3, rel=1e-6)
