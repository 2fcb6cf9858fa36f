"""Linear operators by their singular values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from genkit.errors import UsageError
from genkit.steer import RandomMatrix, dense, identity, mask, observe

RNG = np.random.default_rng(0)
WIDE, TALL = RNG.normal(size=(2, 6)), RNG.normal(size=(5, 3))
DEFICIENT = np.outer(RNG.normal(size=4), RNG.normal(size=3))  # rank one, four numbers measured
COMPLEX = RNG.normal(size=(2, 5)) + 1j * RNG.normal(size=(2, 5))
SEEN = np.array([[True, False, True], [False, False, True]])

MATRICES = {
    "wide": (dense(WIDE), WIDE, 2),
    "tall": (dense(TALL), TALL, 3),
    "deficient": (dense(DEFICIENT), DEFICIENT, 1),
    "complex": (dense(COMPLEX), np.concatenate([COMPLEX.real, COMPLEX.imag]), 4),
    "mask": (mask(SEEN), np.eye(6)[SEEN.reshape(-1)], 3),
    "identity": (identity((2, 2)), np.eye(4), 4),
    "image": (dense(WIDE, (3, 2)), WIDE, 2),
}


@pytest.mark.parametrize("name", MATRICES)
def test_an_operator_is_its_matrix(name):
    operator, matrix, rank = MATRICES[name]
    with jax.enable_x64(True):
        x = jax.random.normal(jax.random.key(0), (4, *operator.shape), dtype=float)
        y = jax.random.normal(jax.random.key(1), (4, operator.size), dtype=float)
        flat = np.asarray(x).reshape(4, -1)
        np.testing.assert_allclose(operator(x), flat @ matrix.T, atol=1e-12)
        np.testing.assert_allclose(operator.adjoint(y).reshape(4, -1), y @ matrix, atol=1e-12)
        np.testing.assert_allclose(operator.pinv(y).reshape(4, -1), y @ np.linalg.pinv(matrix).T, atol=1e-12)
        z = operator.to_basis(x)
        np.testing.assert_allclose((z**2).sum(1), (flat**2).sum(1), rtol=1e-12)
        np.testing.assert_allclose(operator.from_basis(z), x, atol=1e-12)
    assert operator.rank == rank


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("spread2", [0.0, 0.4])
def test_the_likelihood_is_that_of_all_numbers_of_y(name, spread2):
    operator, matrix, _ = MATRICES[name]
    x, y = RNG.normal(size=(3, *operator.shape)), RNG.normal(size=operator.size)
    cov = 0.09 * np.eye(operator.size) + spread2 * matrix @ matrix.T
    expected = [multivariate_normal.logpdf(y, matrix @ one.reshape(-1), cov) for one in x]
    with jax.enable_x64(True):
        given = observe(operator, y, 0.3).log_prob(operator.to_basis(jnp.asarray(x)), spread2)
    np.testing.assert_allclose(given, expected, rtol=1e-10)


def test_complex_measurements_are_real_and_imaginary_parts():
    x = RNG.normal(size=5)
    with jax.enable_x64(True):
        observation = observe(dense(COMPLEX), COMPLEX @ x, 0.1)
        np.testing.assert_allclose(observation.operator(jnp.asarray(x)[None])[0], observation.y, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: observe(dense(WIDE), np.zeros(2), -0.1), "must be positive"),
        (lambda: observe(dense(WIDE), np.zeros(3), 0.1), r"expected \(2,\)"),
        (lambda: observe(dense(WIDE), np.array([0.0, np.nan]), 0.1), "NaN"),
        (lambda: dense(np.zeros((2, 3))), "measures nothing"),
        (lambda: dense(np.zeros(3)), "expected finite numbers"),
        (lambda: dense(WIDE, (5,)), "6 columns"),
        (lambda: mask(np.zeros(3)), "hides everything"),
    ],
)
def test_what_cannot_be_measured_is_refused(make, says):
    with pytest.raises(UsageError, match=says):
        make()


def test_a_random_matrix():
    operator = RandomMatrix(rows=30, seed=1).build((5, 8))
    columns = np.asarray(operator(jnp.eye(40).reshape(40, 5, 8)))  # of lengths about 1
    assert operator.rank == operator.size == 30
    assert abs((columns**2).sum(1).mean() - 1) < 4 * (2 / 1200) ** 0.5
    with pytest.raises(UsageError, match="rows=41 .* allow 1 to 40"):
        RandomMatrix(rows=41).build((5, 8))
