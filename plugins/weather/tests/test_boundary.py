"""Harmonic functions of the grid are their own extension."""

import numpy as np
import pytest

from genkit.errors import UsageError
from genkit_weather.area.boundary import harmonic


def test_discrete_harmonic_fields_are_reproduced():
    y, x = np.mgrid[:9, :11].astype(np.float32)
    fields = np.stack([np.ones_like(x), x - 2 * y, x * y, x**2 - y**2], -1)  # all have 5-point Laplacian 0
    spoilt = fields.copy()
    spoilt[2:-2, 3:-3] = np.nan
    spoilt[0, 0] = np.nan  # nor does a cell off the innermost ring count
    out = np.asarray(harmonic((9, 11), (2, 3)).fill(spoilt))
    assert np.allclose(out[2:-2, 3:-3], fields[2:-2, 3:-3], atol=1e-4)
    assert np.isnan(out[0, 0]).all() and np.array_equal(out[1, 3], fields[1, 3])


def test_interior_cells_are_means_of_their_neighbours_and_obey_the_maximum_principle():
    field = np.random.default_rng(0).standard_normal((3, 8, 8, 2)).astype(np.float32)
    out = np.asarray(harmonic((8, 8), (1, 1)).fill(field))
    mean = (out[:, :-2, 1:-1] + out[:, 2:, 1:-1] + out[:, 1:-1, :-2] + out[:, 1:-1, 2:]) / 4
    assert np.allclose(out[:, 1:-1, 1:-1], mean, atol=1e-5)
    assert out[:, 1:-1, 1:-1].max() < field.max() and harmonic((8, 8), (1, 1)).weights.min() >= 0


def test_a_row_of_cells_gets_a_straight_line():
    field = np.zeros((1, 8, 1), np.float32)
    field[0, 1], field[0, 6] = 2.0, 7.0
    out = np.asarray(harmonic((1, 8), (0, 2)).fill(field))
    assert np.allclose(out[0, 2:6, 0], [3, 4, 5, 6], atol=1e-5)


def test_no_frame_is_an_error():
    with pytest.raises(UsageError, match="needs a frame"):
        harmonic((8, 8), (0, 0))
