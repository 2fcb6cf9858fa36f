"""The sliced Wasserstein distance against closed forms and scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from genkit.errors import UsageError
from genkit.metrics import sliced_wasserstein

KEY = jax.random.key(0)


@pytest.mark.parametrize(("n", "m"), [(40, 40), (40, 25), (7, 40)])
def test_in_one_dimension_it_is_the_wasserstein_distance(n, m):
    x, y = np.random.default_rng(0).normal(size=(n, 1)), 2 + np.random.default_rng(1).normal(size=(m, 1))
    expected = wasserstein_distance(x[:, 0], y[:, 0])
    assert sliced_wasserstein(KEY, jnp.asarray(x), jnp.asarray(y), 10) == pytest.approx(expected, rel=1e-4)


def test_a_shift_counts_by_its_mean_projection():
    """In the plane a shift by b has the distance b E|cos| = 2 b / pi."""
    x = jax.random.normal(KEY, (50, 2))
    shifted = sliced_wasserstein(jax.random.key(1), x, x + jnp.array([3.0, 0.0]), 20_000)
    assert shifted == pytest.approx(6 / np.pi, rel=0.01)
    assert sliced_wasserstein(KEY, x, x[::-1]) == 0


def test_samples_of_two_dimensions():
    with pytest.raises(UsageError, match="expected"):
        sliced_wasserstein(KEY, jnp.zeros((3, 2)), jnp.zeros((3, 1)))
