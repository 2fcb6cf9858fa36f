"""Frame and interior as two arrays."""

import jax.numpy as jnp
import numpy as np
import pytest

from genkit_weather.area.frame import frame_of, frame_size, interior_of, join

CASES = [((7, 9), (2, 3)), ((1, 12), (0, 4)), ((6, 5), (1, 0)), ((4, 4), (0, 0))]


@pytest.mark.parametrize("xp", [np, jnp])
@pytest.mark.parametrize(("grid", "frame"), CASES)
def test_join_is_the_inverse(xp, grid, frame):
    image = xp.asarray(np.random.default_rng(0).standard_normal((2, 3, *grid, 2)))
    cells, interior = frame_of(image, frame), interior_of(image, frame)
    assert type(cells) is type(image)
    assert cells.shape == (2, 3, frame_size(grid, frame), 2)
    np.testing.assert_array_equal(join(cells, interior, frame), image)


def test_order_of_the_frame():
    image = np.arange(20).reshape(4, 5, 1)
    np.testing.assert_array_equal(frame_of(image, (1, 1))[:, 0], [0, 1, 2, 3, 4, 15, 16, 17, 18, 19, 5, 10, 9, 14])


def test_the_frame_knows_nothing_of_the_interior():
    image = np.random.default_rng(0).standard_normal((6, 7, 2))
    other = image.copy()
    interior_of(other, (2, 1))[...] = np.nan
    np.testing.assert_array_equal(frame_of(other, (2, 1)), frame_of(image, (2, 1)))
