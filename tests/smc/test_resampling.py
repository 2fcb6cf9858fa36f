"""Resampling: every scheme unbiased, bounds and special weights; the decision to resample."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.errors import UsageError
from genkit.smc import Resample, ess
from genkit.smc.resampling import SCHEMES

KEY = jax.random.key(0)
W = np.array([0.0, 0.31, 0.02, 0.0, 0.17, 0.4, 0.1, 0.0])


def counts(name, w, m, keys=20_000):
    """Numbers of children, (keys, n)."""
    scheme, n = SCHEMES[name], len(w)
    idx = jax.jit(jax.vmap(lambda k: scheme(k, jnp.log(w), m)))(jax.random.split(KEY, keys))
    assert idx.shape == (keys, m) and idx.dtype == jnp.int32
    return np.asarray(jax.vmap(lambda i: jnp.bincount(i, length=n))(idx))


@pytest.mark.parametrize("name", SCHEMES)
def test_unbiased(name):
    for m in (8, 5, 19):
        o = counts(name, W, m)
        se = o.std(0) / np.sqrt(len(o))
        assert (o.sum(1) == m).all()
        assert (o[:, W == 0] == 0).all()
        assert (np.abs(o.mean(0) - m * W) <= 4 * se + 1e-5).all()


@pytest.mark.parametrize("name", SCHEMES)
def test_special_weights(name):
    np.testing.assert_array_equal(counts(name, np.eye(5)[3], 5, 50), np.tile(5 * np.eye(5)[3], (50, 1)))
    np.testing.assert_array_equal(counts(name, np.ones(1), 1, 5), np.ones((5, 1)))
    dead = counts(name, np.zeros(4), 4, 2000)
    np.testing.assert_allclose(dead.mean(0), 1, atol=0.1)


def test_bounds_on_the_children():
    for m in (8, 5, 19):
        o = counts("systematic", W, m, 2000)
        assert (o >= np.floor(m * W - 1e-5)).all() and (o <= np.ceil(m * W + 1e-5)).all()


def test_equal_weights_keep_every_particle():
    for n in (7, 100, 4096):
        idx = SCHEMES["systematic"](KEY, jnp.full(n, -jnp.log(n)), n)
        np.testing.assert_array_equal(idx, np.arange(n))


def test_effective_sample_size():
    np.testing.assert_allclose(ess(jnp.log(W) + 50), 1 / (W**2).sum(), rtol=1e-5)
    np.testing.assert_allclose(ess(jnp.full(9, -300.0)), 9, rtol=1e-6)
    assert ess(jnp.full(3, -jnp.inf)) == 0


def test_threshold_decides():
    log_w = jnp.log(jnp.array([0.7, 0.1, 0.1, 0.1]))  # ESS 1.92 of 4
    for threshold, did in ((0.0, False), (0.47, False), (0.49, True), (1.0, True)):
        idx, new, done = jax.jit(Resample.__call__)(Resample(threshold=threshold), KEY, log_w, log_w)
        assert done == did
        np.testing.assert_allclose(new, -np.log(4) if did else log_w, rtol=1e-6)
        assert did or (idx == np.arange(4)).all()
    _, _, done = Resample(threshold=1)(KEY, log_w, jnp.full(4, -jnp.log(4.0)))
    assert done


def test_errors():
    with pytest.raises(UsageError, match=r"threshold=1.5 must lie in \[0, 1\]"):
        Resample(threshold=1.5)
    with pytest.raises(UsageError, match="unknown resampling scheme 'sistematic'; known are .*systematic"):
        Resample("sistematic")
