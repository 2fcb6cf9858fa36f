"""The mixture and its posterior against figures computed independently; the grid of times."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from genkit.diffusion import VP
from genkit.errors import UsageError
from genkit.steer import dense, observe
from genkit.testing import check_denoiser, gmm_denoiser
from genkit_inverse import problems
from genkit_inverse.problems import PROCESS, Prior

WEIGHTS, MEANS = np.array([0.2, 0.5, 0.3]), np.array([[-8.0, -8.0], [0.0, 0.0], [8.0, 8.0]])
PRIOR = Prior(np.log(WEIGHTS), MEANS)
OBSERVATION = observe(dense([[0.6, -0.3]]), [1.0], 0.5)


def test_the_posterior_of_three_components():
    with jax.enable_x64(True):
        posterior, log_z = PRIOR.posterior(OBSERVATION)
        weights = np.exp(posterior.log_w)
        np.testing.assert_allclose(weights, [1.62733758e-4, 0.767783716, 0.232053550], rtol=1e-7)
        assert log_z == pytest.approx(-1.8837867509845, abs=1e-11)
        cov = posterior.chol @ posterior.chol.T
        np.testing.assert_allclose(cov, [[0.48571429, 0.25714286], [0.25714286, 0.87142857]], atol=1e-8)
        expected = [[-5.08571429, -9.45714286], [0.85714286, -0.42857143], [6.8, 8.6]]
        np.testing.assert_allclose(posterior.means, expected, atol=1e-8)
        np.testing.assert_allclose(weights @ posterior.means, [2.23523685, 1.66507137], atol=1e-7)
        x = np.array([[0.3, -0.2], [6.0, 8.0]])
        each = [multivariate_normal.pdf(x, m, cov) for m in np.asarray(posterior.means)]
        np.testing.assert_allclose(posterior.log_prob(jnp.asarray(x)), np.log(weights @ each), rtol=1e-10)


def test_samples_are_those_of_the_density():
    posterior, _ = PRIOR.posterior(OBSERVATION)
    x = posterior.sample(jax.random.key(0), 40_000)
    np.testing.assert_allclose(x.mean(0), [2.235, 1.665], atol=0.1)
    at_zero = x[np.abs(np.asarray(x) - [0.857, -0.429]).max(1) < 3]
    np.testing.assert_allclose(np.cov(at_zero.T), [[0.4857, 0.2571], [0.2571, 0.8714]], atol=0.03)


def test_the_denoiser_is_that_of_the_general_mixture():
    general = gmm_denoiser(WEIGHTS, MEANS, process=PROCESS)
    with jax.enable_x64(True):
        x = 6 * jax.random.normal(jax.random.key(0), (20, 2), dtype=float)
        for t in (0.001, 0.1, 0.5, 1.0):
            np.testing.assert_allclose(PRIOR(x, jnp.asarray(t)), general(x, jnp.asarray(t)), atol=1e-9)
        t = VP().time(np.sqrt(1 / 0.3 - 1))
        np.testing.assert_allclose(PRIOR(jnp.array([[1.0, -2.0]]), t), [[0.5477218, -1.0954458]], atol=1e-6)
    check_denoiser(PRIOR, (4, 2))


def test_the_chain_and_its_grid():
    np.testing.assert_allclose(
        problems.abar()[[1, 10, 100, 300, 999]], [0.98, 0.817821, 0.146662, 0.00579879, 4.07687e-5], rtol=3e-6
    )
    expected = [0, 6, 13, 20, 28, 36, 45, 55, 66, 78, 92, 108, 127, 151, 182, 226, 299, 510, 755, 999]
    assert problems.indices(20).tolist() == expected
    times = problems.times(20)
    np.testing.assert_allclose(VP().alpha(np.array(times)) ** 2, problems.abar()[expected[:0:-1]], rtol=1e-10)
    for steps in (4, 8, 50, 200):
        grid = problems.indices(steps)
        assert len(grid) == steps and grid[-1] == 999 and (np.diff(grid) > 0).all()


def test_an_instance():
    prior, observation = problems.instance(0, 3, 6, 2)
    again = problems.instance(0, 3, 6, 2)[1]
    np.testing.assert_array_equal(observation.y, again.y)
    s = np.asarray(observation.operator.s)
    assert s.shape == (2,) and 1 > s[0] > s[1] > 0 and 0 < observation.std < s[0]
    assert prior.means.shape == (25, 6) and np.abs(prior.means).max() == 16
    np.testing.assert_array_equal(prior.means[:, :2], prior.means[:, 4:])
    assert np.exp(prior.log_w).sum() == pytest.approx(1)


@pytest.mark.parametrize(("dx", "dy"), [(7, 1), (8, 0), (2, 3)])
def test_sizes_of_an_instance(dx, dy):
    with pytest.raises(UsageError, match="expected an even dx"):
        problems.instance(0, 0, dx, dy)


def test_a_short_grid():
    with pytest.raises(UsageError, match="steps=3"):
        problems.times(3)
