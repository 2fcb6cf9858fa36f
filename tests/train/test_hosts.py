"""Two processes train together and end together; run as a script, this file is one of them."""

import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.data import batches
from genkit.diffusion import Heun, sample
from genkit.parallel import agree, barrier, broadcast_int, broadcast_text, initialise, is_main, make_mesh, replicate
from genkit.testing import gaussian_denoiser
from genkit.train import AdamW, Interrupted, Phase, TrainState, checkpoint, fit, make_step

STEPS = 100_000  # more than can be done before the signal
RULE = AdamW(lr=0.02, schedule="constant").build(STEPS)
DATA = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)


def init(key):
    return TrainState.create({"w": jax.random.normal(key, (8, 8)) / 3}, RULE)


def loss(params, aux, batch, key):
    return jnp.mean((batch @ params["w"] - jnp.sin(batch)) ** 2), (aux, {})


def talk(state, step):
    if step == 5:
        print("running", flush=True)


def phase(steps):
    return Phase("net", init, make_step(loss, RULE), batches(DATA, 16, seed=1), steps, every=((5, talk),))


def draws_agree():
    """Each process has the samples that one would draw: its share, or all of an odd number."""
    mesh, key = make_mesh(), jax.random.key(1)
    for n, here in ((8, 4), (7, 7)):
        draw = jax.jit(lambda key, n=n: sample(key, Heun(3, churn=1.0), gaussian_denoiser(1.0, 2.0), (n, 3)))
        alone = draw(key)
        with jax.set_mesh(mesh):
            program = draw.lower(replicate(key, mesh)).compile()
        assert "all-" not in program.as_text()
        (part,) = program(replicate(key, mesh)).addressable_shards
        assert part.data.shape == (here, 3)
        np.testing.assert_allclose(part.data, alone[part.index], rtol=1e-5, atol=1e-6)


def work(folder):
    """One of two processes: words are exchanged, samples drawn, then a training runs until a signal."""
    assert initialise() and jax.process_count() == 2
    me = jax.process_index()
    assert broadcast_text(f"run/ä{me}") == "run/ä0" and broadcast_int(40 + me) == 40
    assert agree(3 * me) == 3 and is_main() == (me == 0)
    barrier("words")
    draws_agree()
    try:
        fit(phase(STEPS), folder=folder, key=jax.random.key(3), progress=False)
    except Interrupted as stop:
        print(f"stopped {stop.signal} at {stop.step}", flush=True)
        # The number of processes does not change the training, so this one may check it alone.
        sys.exit(128 + stop.signal)


def test_a_signal_to_one_process_stops_both_at_one_step(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    names = {"GENKIT_COORDINATOR": f"127.0.0.1:{port}", "GENKIT_PROCESSES": "2"}
    script = [sys.executable, __file__, str(tmp_path)]
    pair = [
        subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         env={**os.environ, **names, "GENKIT_PROCESS": str(i)})
        for i in range(2)
    ]  # fmt: skip
    try:
        if all("running\n" in iter(process.stdout.readline, "") for process in pair if process.stdout):
            pair[1].send_signal(signal.SIGTERM)
        said = [process.communicate(timeout=120) for process in pair]
    finally:
        for process in pair:
            process.kill()
    assert [process.returncode for process in pair] == [128 + signal.SIGTERM] * 2, said
    found = [re.search(r"^stopped 15 at (\d+)$", out, re.MULTILINE) for out, _ in said]
    steps = {int(match[1]) for match in found if match}
    assert len(steps) == 1 and all(found)
    step = steps.pop()
    last = tmp_path / "checkpoints/net/last"
    assert checkpoint.latest(last) == step
    # One process continues what two began, and it is the training that one would have done.
    together, _ = checkpoint.restore(last, jax.eval_shape(init, jax.random.key(3)))
    if step < 3000:
        alone = fit(replace(phase(step), every=()), folder=tmp_path / "alone", key=jax.random.key(3), progress=False)
        np.testing.assert_allclose(together.params["w"], alone.params["w"], rtol=1e-3, atol=1e-5)


def test_a_coordinator_without_numbers(monkeypatch):
    from genkit.errors import UsageError

    monkeypatch.setenv("GENKIT_COORDINATOR", "127.0.0.1:1")
    with pytest.raises(UsageError, match="a coordinator needs GENKIT_PROCESSES too"):
        initialise()


def test_alone_nothing_is_joined():
    assert not initialise() and is_main() and agree(4) == 4 and broadcast_text("a") == "a" and broadcast_int(3) == 3


if __name__ == "__main__":
    work(sys.argv[1])
