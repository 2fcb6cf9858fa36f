"""Populations split over devices; run as a script, this file is the checks on eight of them."""

import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.chain import run, start
from genkit.errors import UsageError
from genkit.parallel import make_mesh, shard_batch, split
from genkit.smc import Global, Islands, Resample
from genkit.testing import LinearGaussian

if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", 8)

KEY = jax.random.key(0)
LG = LinearGaussian()
Y = np.sin(np.arange(1, 7))
MODEL = LG.bootstrap(Y)


def filtered(key, resample, n):
    state = split(start(key, MODEL, n))
    return run(key, state, MODEL.stages, resample)[0]


def exact_resampling_has_the_parents_of_one_device():
    log_w = jax.nn.log_softmax(4 * jax.random.normal(KEY, (4096,)))
    for scheme, counts in {"systematic": (1, 2, 4, 8), "multinomial": (8,), "residual": (8,), "killing": (8,)}.items():
        one = jax.jit(Resample(scheme, 1.0))(KEY, log_w, log_w)[0]
        assert len(np.unique(one)) < 3000
        for devices in counts:
            mesh = make_mesh(data=devices)
            with jax.set_mesh(mesh):
                shared = shard_batch(log_w, mesh)
                idx, new, did = jax.jit(Global(Resample(scheme, 1.0)))(KEY, shared, shared)
            assert len(idx.sharding.device_set) == devices and idx.addressable_shards[0].data.shape == (
                4096 // devices,
            )
            np.testing.assert_array_equal(idx, one)


def runs_agree(resample, counts):
    one = jax.jit(partial(filtered, resample=resample, n=64))(KEY)
    for devices in counts:
        with jax.set_mesh(make_mesh(data=devices)):
            many = jax.jit(partial(filtered, resample=resample, n=64))(KEY)
        assert len(many.p.sharding.device_set) == devices and not many.p.sharding.is_fully_replicated
        np.testing.assert_array_equal(many.ancestors, one.ancestors)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), many, one)


def independent_runs_take_the_other_axis():
    keys = jax.random.split(KEY, 4)
    one = partial(filtered, resample=Global(), n=16)
    alone = jax.jit(jax.vmap(one))(keys)
    with jax.set_mesh(make_mesh(data=4, model=2)):
        many = jax.jit(jax.vmap(one, spmd_axis_name="model"))(keys)
    assert many.p.addressable_shards[0].data.shape == (2, 4)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), many, alone)


def a_population_must_fit():
    with jax.set_mesh(make_mesh(data=8)), pytest.raises(UsageError, match="12 particles cannot be split over 8"):
        filtered(KEY, Global(), 12)


def test_on_eight_devices():
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("exchange", [0.0, 0.7, 1.0])
def test_islands_are_unbiased(exchange):
    resample = Islands(4, Resample(threshold=0.7), exchange)

    def one(key):
        state = filtered(key, resample, 64)
        return state.log_z, state.eve

    log_z, eve = jax.jit(jax.vmap(one))(jax.random.split(KEY, 2000))
    ratio = np.exp(np.asarray(log_z, np.float64) - LG.kalman_loglik(Y))
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / 2000**0.5 and ratio.std() > 0.05
    stays = (np.asarray(eve) // 16 == np.arange(64) // 16).mean()
    assert stays == 1 if exchange == 0 else 0.25 < stays < 0.95


def test_islands_carry_their_weights():
    after = jnp.log(jnp.array([0.3, 0.1, 0.1, 0.1, 0.4, 0.0, 0.0, 0.0]))
    idx, log_w, did = Islands(4, Resample(threshold=1.0), 0.0)(KEY, after, after)
    np.testing.assert_allclose(np.exp(log_w), [0.2, 0.2, 0.1, 0.1, 0.2, 0.2, 0, 0], rtol=1e-5)
    np.testing.assert_array_equal(idx // 2, [0, 0, 1, 1, 2, 2, 3, 3])
    assert (idx[4:6] == 4).all() and did
    idx, log_w, did = Islands(4, Resample(threshold=0.0), 1.0)(KEY, after, after)
    share = np.array([0.75, 0.25, 0.5, 0.5, 1, 0, 0, 0])  # inside the island
    np.testing.assert_allclose(np.exp(log_w), share[idx] / 4, rtol=1e-5)
    assert (idx < 6).all() and did
    with pytest.raises(UsageError, match="8 particles cannot live on 3 islands of one size"):
        Islands(3)(KEY, after, after)


if __name__ == "__main__":
    exact_resampling_has_the_parents_of_one_device()
    runs_agree(Global(), (2, 8))
    runs_agree(Islands(8), (8,))
    independent_runs_take_the_other_axis()
    a_population_must_fit()
