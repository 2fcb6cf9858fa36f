"""Many paths and two filters against the smoother of a linear-Gaussian model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.errors import UsageError
from genkit.smc import NormalChain, Resample, populations, sample_paths, two_filter
from genkit.testing import LinearGaussian
from genkit.testing.kalman import Bootstrap

KEY = jax.random.key(0)
LG = LinearGaussian(sy=0.5)
Y = np.sin(np.arange(1, 9))
MEAN, VARIANCE = LG.smoother(Y)
RUNS = 60


def near(sample, exact, bias=0.0):
    """Means over independent runs (runs, T)."""
    error = np.asarray(sample, np.float64).std(0, ddof=1) / len(sample) ** 0.5
    assert error.max() < 0.03
    return (np.abs(np.mean(sample, 0) - exact) < 4 * error + bias).all()


@pytest.fixture(scope="module")
def paths():
    """(RUNS, m, T) of a filter each; the number of different first states by ancestors and by backward simulation."""

    def one(key):
        path, state = sample_paths(key, LG.bootstrap(Y), 150, 80, Resample())
        return jnp.concatenate([path.first[..., None], *path.later], -1), state.eve

    return jax.jit(jax.vmap(one))(jax.random.split(KEY, RUNS))


def test_many_paths_have_the_moments_of_the_smoother(paths):
    x = np.asarray(paths[0], np.float64)
    assert near(x.mean(1), MEAN) and near(((x - MEAN) ** 2).mean(1), VARIANCE, 0.01)


def test_paths_differ_where_ancestries_do_not(paths):
    x, eve = map(np.asarray, paths)
    ancestries = np.mean([len(np.unique(run)) for run in eve])
    drawn = np.mean([len(np.unique(run[:, 0])) for run in x])
    assert drawn > 1.5 * ancestries


def test_two_filters_have_the_moments_of_the_smoother():
    """The stationary chain is its own reverse, with its own law as the artificial one."""

    def one(key):
        ahead, back = jax.random.split(key)
        chain = LG.chain(Y)
        forward, _ = populations(ahead, chain.model(), 150, Resample())
        backward, _ = populations(back, LG.chain(Y[::-1]).model(), 150, Resample())
        std = LG.variance**0.5
        log_gamma = lambda x, t: jax.scipy.stats.norm.logpdf(x, 0.0, std)  # noqa: E731
        w = jnp.exp(two_filter(forward, backward, chain.kernel, Y[1:], log_gamma))
        return (w * forward.p).sum(1), (w * (forward.p - MEAN[:, None]) ** 2).sum(1)

    mean, variance = jax.jit(jax.vmap(one))(jax.random.split(KEY, RUNS))
    assert near(mean, MEAN, 0.01) and near(variance, VARIANCE, 0.01)


def test_errors():
    chain = NormalChain(0.0, 1.0, Bootstrap(0.9, 1.0, 0.5), Y)
    forward, _ = populations(KEY, chain.model(), 4, None)
    guided = LG.guided(Y)
    with pytest.raises(UsageError, match="joined by the kernel's log_prob; Twisted has none"):
        two_filter(forward, forward, guided.stages[0][0], Y[1:], lambda x, t: x)
    with pytest.raises(UsageError, match="backward sampling needs a kernel with log_prob and without look"):
        sample_paths(KEY, guided, 4, 2, Resample())
