"""Particle Gibbs and particle Metropolis-Hastings against exact smoothers and posteriors."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.chain import Model, run, start
from genkit.errors import UsageError
from genkit.smc import NormalChain, Path, Resample, particle_gibbs, pimh, pmmh, sample_path
from genkit.testing import LinearGaussian
from genkit.testing.kalman import Bootstrap

KEY = jax.random.key(0)
LG = LinearGaussian(sy=0.5)
Y = np.sin(np.arange(1, 9))
MEAN, VARIANCE = LG.smoother(Y)


def values(path):
    """(..., T) of a path of the linear-Gaussian model."""
    return jnp.concatenate([path.first[..., None], *path.later], -1)


def near_smoother(x, burn):
    """Whether moments of chains (chains, steps, T) are those of the smoother, by the spread between chains."""
    x = np.asarray(x, np.float64)[:, burn:]
    for sample, exact in ((x.mean(1), MEAN), (((x - MEAN) ** 2).mean(1), VARIANCE)):
        error = sample.std(0, ddof=1) / np.sqrt(len(sample))
        assert error.max() < 0.03
        if (np.abs(sample.mean(0) - exact) > 4 * error).any():
            return False
    return True


def gibbs(model, resample, method, chains=60, steps=300, n=6):
    def one(key):
        first, rest = jax.random.split(key)
        ref, _ = sample_path(first, model, n, Resample(threshold=1.0))
        return values(particle_gibbs(rest, model, n, steps, ref, resample, method))

    return jax.jit(jax.vmap(one))(jax.random.split(KEY, chains))


@pytest.mark.parametrize(
    ("scheme", "threshold", "method"),
    [
        ("conditional_multinomial", 1.0, "trace"),
        ("conditional_multinomial", 1.0, "ancestor"),
        ("conditional_multinomial", 1.0, "backward"),
        ("conditional_systematic", 0.5, "ancestor"),
        ("conditional_killing", 0.7, "backward"),
    ],
)
def test_particle_gibbs_has_the_moments_of_the_smoother(scheme, threshold, method):
    x = gibbs(LG.bootstrap(Y), Resample(scheme, threshold), method)
    assert near_smoother(x, 30)


def test_the_first_state_is_renewed_by_backward_sampling():
    """Where paths by ancestors stick to the reference."""

    def renewed(method):
        x = gibbs(LG.bootstrap(Y), Resample("conditional_multinomial", 1.0), method, 20, 50)[..., 0]
        return float((x[:, 1:] != x[:, :-1]).mean())

    assert renewed("trace") < 0.5 and renewed("backward") > renewed("trace") + 0.2


def test_paths_over_several_stages():
    """Two stages give what one gives."""
    whole = LG.bootstrap(Y)
    ((kernel, y),) = whole.stages
    model = Model(whole.init, ((kernel, y[:3]), (kernel, y[3:])))
    resample = Resample("conditional_multinomial", 1.0)
    ref, _ = sample_path(KEY, whole, 5, Resample())
    for method in ("ancestor", "backward"):
        parts = Path(ref.first, ref.log_g, (ref.later[0][:3], ref.later[0][3:]))
        one, _ = sample_path(KEY, whole, 5, resample, ref, method)
        two, _ = sample_path(KEY, model, 5, resample, parts, method)
        np.testing.assert_array_equal(values(one), values(two))


def test_independent_metropolis():
    model = LG.bootstrap(Y)

    def estimate(key):
        path, state = sample_path(key, model, 10, Resample("multinomial", 1.0))
        return state.log_z, values(path)

    chain = jax.jit(jax.vmap(partial(pimh, steps=300, estimate=estimate)))(jax.random.split(KEY, 60))
    assert 0.1 < chain.accepted.mean() < 0.9
    assert near_smoother(chain.draw, 30)


def test_marginal_metropolis():
    """Posterior of log sx under a normal prior, against a sum over a grid of Kalman filters."""
    grid = np.linspace(-2, 2, 401)
    log_p = np.array([LinearGaussian(sx=np.exp(g), sy=0.5, v0=1.0).kalman_loglik(Y) for g in grid]) - grid**2 / 0.5
    w = np.exp(log_p - log_p.max())
    w /= w.sum()
    mean = w @ grid
    variance = w @ (grid - mean) ** 2

    def estimate(key, theta):
        model = NormalChain(0.0, 1.0, Bootstrap(0.9, jnp.exp(theta), 0.5), Y).model()
        return run(key, start(key, model, 20), model.stages, Resample())[0].log_z, ()

    def one(key):
        return pmmh(
            key,
            400,
            jnp.zeros(()),
            estimate,
            lambda theta: -(theta**2) / 0.5,
            lambda k, theta: theta + 0.6 * jax.random.normal(k),
        )

    chain = jax.jit(jax.vmap(one))(jax.random.split(KEY, 60))
    x = np.asarray(chain.theta, np.float64)[:, 40:]
    assert 0.2 < chain.accepted.mean() < 0.8
    for sample, exact in ((x.mean(1), mean), (((x - mean) ** 2).mean(1), variance)):
        error = sample.std(ddof=1) / 60**0.5
        assert error < 0.02 and abs(sample.mean() - exact) < 4 * error


def test_errors():
    ref, _ = sample_path(KEY, LG.bootstrap(Y), 5, Resample())
    with pytest.raises(UsageError, match="conditional SMC needs a conditional resampling scheme, not 'systematic'"):
        particle_gibbs(KEY, LG.bootstrap(Y), 5, 2, ref, Resample())
    with pytest.raises(UsageError, match="backward sampling needs a kernel with log_prob and without look"):
        sample_path(KEY, LG.guided(Y), 5, Resample(), method="backward")
