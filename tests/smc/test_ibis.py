"""Data tempering against a conjugate posterior."""

import jax
import jax.numpy as jnp
import numpy as np

from genkit.smc import IBIS, MALA, RandomWalk, Resample

KEY = jax.random.key(0)
Y = np.array([1.2, 0.3, 2.1, 1.7, -0.4, 0.9, 1.5, 2.4])


def draw(key):
    return jax.random.normal(key, (1,))


def log_p0(x):
    return jax.scipy.stats.norm.logpdf(x).sum()


def log_lik(x, y):
    return jax.scipy.stats.norm.logpdf(y, x, 0.5).sum()


def test_evidence_and_posterior_after_each_datum():
    cov = [np.eye(t) * 0.25 + 1 for t in range(1, 9)]
    square = [Y[: len(c)] @ np.linalg.solve(c, Y[: len(c)]) for c in cov]
    exact = -0.5 * (np.array(square) + [np.linalg.slogdet(2 * np.pi * c)[1] for c in cov])
    precision = 1 + 8 / 0.25
    mean, variance = Y.sum() / 0.25 / precision, 1 / precision
    for move in (RandomWalk(), MALA()):

        def one(key, move=move):
            state, log_z = IBIS(move).run(key, 1000, draw, log_p0, log_lik, Y)
            w = jnp.exp(state.log_w)
            return log_z, w @ state.p.x[:, 0], w @ (state.p.x[:, 0] - mean) ** 2

        log_z, first, second = jax.jit(jax.vmap(one))(jax.random.split(KEY, 100))
        ratio = np.exp(np.asarray(log_z, np.float64) - exact)
        assert (abs(ratio.mean(0) - 1) < 4 * ratio.std(0) / 10).all() and ratio.std(0).min() > 0.005
        for sample, value in ((first, mean), (second, variance)):
            assert abs(sample.mean() - value) < 4 * sample.std() / 10


def test_moves_only_where_resampled():
    quiet = IBIS(resample=Resample(threshold=0.0)).run(KEY, 50, draw, log_p0, log_lik, Y)[0]
    np.testing.assert_array_equal(quiet.eve, np.arange(50))
    assert (quiet.p.accept == 0).all()
    moved = IBIS(resample=Resample(threshold=1.0)).run(KEY, 50, draw, log_p0, log_lik, Y)[0]
    assert len(np.unique(moved.p.x)) > 40 and (moved.p.accept > 0).any()
