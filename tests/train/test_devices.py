"""One device and four give the same training; run as a script, this file is the checks."""

import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

import genkit
from genkit.data import batches
from genkit.experiment import Run, costs
from genkit.parallel import fsdp, make_mesh, split, split_rows
from genkit.train import AdamW, Phase, TrainState, fit, learn, load, make_step

RULE = AdamW(lr=0.02).build(10)
DATA = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)


def init(key):
    a, b = jax.random.split(key)
    params = {"in": jax.random.normal(a, (8, 32)) / 3, "out": jax.random.normal(b, (32, 8)) / 6}
    return TrainState.create(params, RULE)


def loss(params, aux, batch, key):
    draws = split(jax.random.normal(key, (16, 8)))
    x = draws if batch is None else batch + 0.1 * draws[: len(batch)]
    return jnp.mean((jnp.tanh(x @ params["in"]) @ params["out"] - jnp.sin(x)) ** 2), (aux, {})


def phase(**options):
    return Phase("net", init, make_step(loss, RULE, ema_half_life=5, **options), batches(DATA, 16, seed=1), 10)


def one_device_equals_four(folder):
    key = jax.random.key(3)
    for name, one in {
        "drawn": replace(phase(), data=None),
        "sharded": replace(phase(accumulate=2), shard=fsdp(make_mesh(), min_size=64)),
    }.items():
        places = {folder / f"{name}{n}": make_mesh(data=n) for n in (1, 4)}
        states = [fit(one, folder=place, key=key, mesh=mesh, progress=False) for place, mesh in places.items()]
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), *jax.device_get(states))
        assert len(states[1].params["in"].sharding.device_set) == 4


def moments_are_sharded_and_move_to_another_mesh(folder):
    one = replace(phase(), shard=fsdp(make_mesh(), min_size=64))
    four = load(one, folder / "sharded4")
    assert (
        four.opt_state[0].mu["in"].sharding.spec
        == four.ema["in"].sharding.spec
        == PartitionSpec(None, ("data", "model"))
    )
    two = load(one, folder / "sharded4", mesh=make_mesh(data=2))
    assert [s.data.shape for s in two.params["in"].addressable_shards] == [(8, 16)] * 2
    alone = load(phase(), folder / "sharded4", mesh=make_mesh(data=1))
    for other in (two, alone):
        jax.tree.map(np.testing.assert_array_equal, jax.device_get(four), jax.device_get(other))


def a_run_splits_what_is_large(folder):
    places = []

    def start(key):
        return TrainState.create({"w": jax.random.normal(key, (256, 256)) / 16, "b": jnp.zeros(256)}, RULE)

    def square(params, aux, batch, key):
        return jnp.mean((batch @ params["w"] + params["b"] - 10) ** 2), (aux, {})

    def seen(state, step):
        places.append([state.params[name].addressable_shards[0].data.shape for name in ("w", "b")])

    wide = batches(np.tile(DATA, (1, 32)), 1, seed=1)  # one example, which all devices share
    one = Phase("wide", start, make_step(square, RULE, ema_half_life=5), wide, 4, every=((4, seen),))
    ends = []
    for shard in (False, True):
        run = Run(genkit.config("core.mixture", "tiny"), folder / f"run{shard}", may_train=True)
        run.shard = shard
        end = run.fit(one)
        large = [m for m in jax.tree.leaves(end.opt_state) if m.size == end.params["w"].size]
        assert end.params["w"].is_fully_replicated and end.ema["w"].is_fully_replicated
        assert large and all(m.is_fully_replicated != shard for m in large)
        ends.append(jax.device_get(end))
    assert places == [[(256, 256), (256,)], [(64, 256), (256,)]]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), *ends)


def a_small_batch_shares_the_rows_of_its_images(folder):
    """Of 8 images of 8 rows in 4 parts: 2 devices have one of a part, 2 halves of each."""
    seen = []

    def loss(params, aux, batch, key):
        seen.append(dict(jax.sharding.get_abstract_mesh().shape))
        x = split_rows(batch[..., None] * params["in"][0])
        return jnp.mean(jnp.square(jnp.sin(x) - jnp.roll(x, 1, 1))), (aux, {})

    step = make_step(loss, RULE, accumulate=4)
    one = Phase("net", init, step, batches(DATA, 8, seed=1), 2)
    places = {folder / "rows": None, folder / "alone": make_mesh(data=1)}
    states = [fit(one, folder=f, key=jax.random.key(3), mesh=mesh, progress=False) for f, mesh in places.items()]
    assert {"data": 2, "model": 2} in seen and len(states[0].params["in"].sharding.device_set) == 4
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), *jax.device_get(states))


def the_validation_is_one_program(folder):
    """Of the first parameters, of those in training, and of the best that were saved."""
    seen = []

    def loss(params, aux, batch, key, training=True):
        if not training:
            jax.debug.inspect_array_sharding(params["w"], callback=seen.append)  # called by the compiler
        return jnp.mean((batch @ params["w"] - 1) ** 2), (aux, {})

    run = Run(genkit.config("core.mixture", "tiny"), folder / "run", may_train=True)
    options = {"optimizer": RULE, "steps": 2, "batch": 2, "accumulate": 2, "validate": 1, "keep": "best"}
    learn(run, "net", loss, {"w": jnp.zeros(8)}, DATA, [DATA[:2]], **options)
    assert len(seen) == 1


def the_memory_of_a_step_is_that_of_each_device(folder):
    """Parameters, average and two moments; of 4 x 256 x 256 numbers and a few more."""
    config = genkit.config("core.mixture", "tiny", {"model.network.width": "256"})

    def arguments(shard):
        text = costs(config, memory=True, shard=shard)["memory, step of denoiser on each of 4 devices"]
        return float(re.findall(r"arguments ([\d.]+)", text)[0])

    whole = arguments(shard=False)
    assert arguments(shard=True) < 0.35 * whole and whole > 4


def test_on_four_devices():
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", 4)
    with tempfile.TemporaryDirectory() as place:
        one_device_equals_four(Path(place))
        moments_are_sharded_and_move_to_another_mesh(Path(place))
        a_run_splits_what_is_large(Path(place))
        a_small_batch_shares_the_rows_of_its_images(Path(place))
        the_validation_is_one_program(Path(place))
        the_memory_of_a_step_is_that_of_each_device(Path(place))
