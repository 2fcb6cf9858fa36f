"""A chain under a potential."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import Kernel, Model, run, start, step, tilt
from genkit.tree import register_dataclass

KEY = jax.random.key(0)


@register_dataclass
@dataclass(frozen=True)
class Walk(Kernel):
    def move(self, keys, p, u):
        return p + jax.vmap(jax.random.normal)(keys)


def init(keys):
    return jax.vmap(jax.random.normal)(keys), None


def resampler(key, before, after):
    n = after.shape[0]
    return jax.random.categorical(key, after, shape=(n,)), jnp.full(n, -jnp.log(n)), True


def test_end_of_the_chain_is_tilted_whatever_comes_between(optimised):
    """N(0, 4) under exp(-(x - 2)^2 / 2), with inflated potentials on the way: N(1.6, 0.8)."""

    def log_h(p, u):
        return -0.5 * (p - 2) ** 2 / u

    chain = Model(init, ((Walk(), np.array([16.0, 4.0])), (Walk(), np.array([1.0]))))
    model = tilt(chain, log_h)

    def one(key):
        state, _ = run(key, start(key, model, 200), model.stages, resampler)
        w = jnp.exp(state.log_w)
        return state.log_z, w @ state.p.p, w @ state.p.p**2

    log_z, mean, square = (np.asarray(a) for a in jax.jit(jax.vmap(one))(jax.random.split(KEY, 400)))
    ratio = np.exp(log_z + 0.5 * np.log(5) + 0.5 * 4 / 5)
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / 20 and ratio.std() > 0.01
    np.testing.assert_allclose([mean.mean(), square.mean()], [1.6, 0.8 + 1.6**2], atol=0.02)


def test_methods_of_the_kernel_are_kept():
    @register_dataclass
    @dataclass(frozen=True)
    class Full(Kernel):
        scale: Any

        def plan(self, key, state, u):
            return u + state.p.sum(), state.shared + 1

        def look(self, keys, p, u):
            return p + u, jnp.log(p)

        def move(self, keys, p, u):
            return p * self.scale

        def log_g(self, p, p1, u):
            return jnp.log(p1 - p)

        def log_prob(self, p, p1, u):
            return p + p1 + u

    def two(keys):
        return jnp.array([1.0, 3.0]), None

    def log_h(p, u):
        return jnp.where(p == 14, -jnp.inf, p + u)

    model = tilt(Model(two, ((Full(2.0), np.zeros(1)),), shared=0), log_h)
    ((kernel, _),) = model.stages
    state = step(KEY, start(KEY, model, 2), kernel, jnp.zeros(()))  # plan gives u = 4, look p = (5, 7)
    np.testing.assert_array_equal(state.p.p, [10, 14])
    np.testing.assert_array_equal(state.p.log_h, [14, -np.inf])
    assert state.shared == 1
    np.testing.assert_allclose(state.log_z, np.log(0.5 * 1 * 5) + 14, rtol=1e-6)
    again = step(KEY, state, kernel, jnp.zeros(()))  # the dead path stays dead
    assert np.isfinite(again.log_z) and again.log_w[1] == -np.inf
    assert kernel.log_g(state.p, again.p, jnp.zeros(()))[1] == -np.inf
    np.testing.assert_array_equal(kernel.log_prob(state.p, state.p, 1.0), [21, 29])
    (plain, _) = tilt(Model(init, ((Walk(), 0),)), log_h).stages[0]
    assert plain.log_prob is None and plain.look is None and plain.plan is None
