"""Resampling: every scheme unbiased, bounds and special weights; the decision to resample."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.errors import UsageError
from genkit.smc import Resample, ess
from genkit.smc.resampling import SCHEMES

KEY = jax.random.key(0)
W = np.array([0.0, 0.31, 0.02, 0.0, 0.17, 0.4, 0.1, 0.0])
FREE = [name for name in SCHEMES if not name.startswith("conditional_")]
PINNED = [name for name in SCHEMES if name.startswith("conditional_")]


def sizes(name):
    return (8,) if name == "killing" else (8, 5, 19)


@partial(jax.jit, static_argnames=("name", "m"))
def scheme(name, key, log_w, m):
    return SCHEMES[name](key, log_w, m)


@partial(jax.jit, static_argnames=("name", "m"))
def many(name, keys, log_w, m):
    return jax.vmap(lambda key: SCHEMES[name](key, log_w, m))(keys)


def draw(name, w, m, keys=20_000):
    """Parents, (keys, m)."""
    with np.errstate(divide="ignore"):
        idx = many(name, jax.random.split(KEY, keys), np.log(w, dtype=np.float32), m)
    assert idx.shape == (keys, m) and idx.dtype == jnp.int32
    return np.asarray(idx)


def counts(name, w, m, keys=20_000):
    """Numbers of children, (keys, n)."""
    return np.stack([(draw(name, w, m, keys) == i).sum(1) for i in range(len(w))], 1)


def near(sample, mean):
    """Whether the mean of sample (keys, ...) is within four standard errors."""
    return (np.abs(sample.mean(0) - mean) <= 4 * sample.std(0) / np.sqrt(len(sample)) + 1e-5).all()


@pytest.mark.parametrize("name", FREE)
def test_unbiased(name):
    for m in sizes(name):
        o = counts(name, W, m)
        assert (o.sum(1) == m).all()
        assert (o[:, W == 0] == 0).all()
        assert near(o, m * W)


@pytest.mark.parametrize("name", FREE)
def test_special_weights(name):
    np.testing.assert_array_equal(draw(name, np.eye(5)[3], 5, 50), 3)
    np.testing.assert_array_equal(draw(name, np.ones(1), 1, 5), 0)
    dead = counts(name, np.zeros(4), 4)
    assert near(dead, 1)


def test_bounds_and_variance():
    for m in (8, 5):
        for name in ("systematic", "ssp", "branching"):
            o = counts(name, W, m)
            assert (o >= np.floor(m * W - 1e-5)).all() and (o <= np.ceil(m * W + 1e-5)).all()
        assert (counts("residual", W, m) >= np.floor(m * W - 1e-5)).all()
        assert (np.abs(counts("stratified", W, m) - m * W) < 2).all()
        o = counts("multinomial", W, m)
        assert near((o - m * W) ** 2, m * W * (1 - W))


def test_systematic_of_whole_numbers():
    """Where N w are whole numbers there is no choice, whatever the offset."""
    o = counts("systematic", np.array([0.5, 0.25, 0.125, 0.125]), 8, 2000)
    np.testing.assert_array_equal(o, np.tile([4, 2, 1, 1], (2000, 1)))


def test_equal_weights_keep_every_particle():
    for name in ("stratified", "systematic", "residual", "ssp", "branching", "killing", "conditional_killing"):
        for n in (7, 1000):
            np.testing.assert_array_equal(draw(name, np.full(n, 1 / n), n, 2), np.tile(np.arange(n), (2, 1)), name)


def test_killing_leaves_survivors_in_place():
    idx = draw("killing", W, 8)
    assert near(idx == np.arange(8), W / W.max() + (1 - W / W.max()) * W)


@pytest.mark.parametrize("name", PINNED)
def test_conditional(name):
    """Over a parent 0 drawn from W, the law is that of the scheme: each child is a draw from W."""
    scheme, w = SCHEMES[name], jnp.asarray(W)

    def one(key):
        first, second = jax.random.split(key)
        pivot = jax.random.categorical(first, jnp.log(w))
        idx = scheme(second, jnp.log(jnp.roll(w, -pivot)), 8)
        return idx[0], (idx + pivot) % 8

    zero, idx = jax.jit(jax.vmap(one))(jax.random.split(KEY, 20_000))
    assert (zero == 0).all()
    if name != "conditional_multinomial":  # whose children are sorted
        for child in range(8):
            assert near(np.asarray(idx)[:, child, None] == np.arange(8), W)
    o = np.stack([(np.asarray(idx) == i).sum(1) for i in range(8)], 1)
    assert near(o, 8 * W)
    if name == "conditional_systematic":
        assert (o >= np.floor(8 * W)).all() and (o <= np.ceil(8 * W)).all()
    np.testing.assert_array_equal(draw(name, np.eye(5)[0], 5, 20), 0)


@pytest.mark.parametrize("name", SCHEMES)
def test_large_populations(name):
    """Round-off in sums of many weights neither loses children nor gives them to dead parents."""
    n = 20_001
    log_w = jnp.where(jnp.arange(n) % 3 == 0, 4 * jax.random.normal(KEY, (n,)), -jnp.inf)
    idx = np.asarray(scheme(name, KEY, log_w, n))
    assert idx.shape == (n,) and idx.min() >= 0 and (idx < n).all() and (idx % 3 == 0).all()
    w = np.exp(np.asarray(log_w, np.float64))
    w /= w.sum()
    worst = np.abs(np.bincount(idx, minlength=n) - n * w) / np.sqrt(n * w + 1)
    assert worst.max() < 6


@pytest.mark.parametrize("name", SCHEMES)
def test_other_precisions(name):
    log_w = np.log([0.5, 0.25, 0.25])
    with jax.enable_x64(True):
        for dtype in (jnp.float64, jnp.bfloat16):
            idx = scheme(name, KEY, jnp.asarray(log_w, dtype), 3)
            assert idx.dtype == jnp.int32 and (idx < 3).all()
    idx = many(name, jax.random.split(KEY, 200), jnp.asarray(log_w, jnp.bfloat16), 3)
    assert 0.4 < (idx == 0).mean() < (0.75 if name.startswith("conditional") else 0.6)


def test_effective_sample_size():
    np.testing.assert_allclose(ess(jnp.log(W) + 50), 1 / (W**2).sum(), rtol=1e-5)
    np.testing.assert_allclose(ess(jnp.full(9, -300.0)), 9, rtol=1e-6)
    assert ess(jnp.full(3, -jnp.inf)) == 0


def test_threshold_decides():
    """And is traced: other values compile nothing."""
    chex.clear_trace_counter()
    call = jax.jit(chex.assert_max_traces(lambda resample, *args: resample(*args), n=1))
    log_w = jnp.log(jnp.array([0.7, 0.1, 0.1, 0.1]))  # ESS 1.92 of 4
    for threshold, did in ((0.0, False), (0.47, False), (0.49, True), (1.0, True)):
        idx, new, done = call(Resample(threshold=threshold), KEY, log_w, log_w)
        assert done == did
        np.testing.assert_allclose(new, -np.log(4) if did else log_w, rtol=1e-6)
        assert did or (idx == np.arange(4)).all()
    _, _, done = Resample(threshold=1)(KEY, log_w, jnp.full(4, -jnp.log(4.0)))
    assert done


def test_decision_by_the_weights_before_the_look():
    equal, skew = jnp.full(4, -jnp.log(4.0)), jnp.log(jnp.array([0.97, 0.01, 0.01, 0.01]))
    assert not Resample(decide_by="before")(KEY, equal, skew)[2]
    idx, _, did = Resample(decide_by="before")(KEY, skew, jnp.log(jnp.eye(4)[2]))
    assert did and (idx == 2).all()


def test_errors():
    with pytest.raises(UsageError, match=r"threshold=1.5 must lie in \[0, 1\]"):
        Resample(threshold=1.5)
    with pytest.raises(UsageError, match="unknown resampling scheme 'sistematic'; known are .*systematic"):
        Resample("sistematic")
    with pytest.raises(UsageError, match="killing has as many children as parents; got 8 parents for 5 children"):
        draw("killing", W, 5, 1)
