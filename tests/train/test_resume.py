"""A training that ends early continues as if it had not. Run as a script, this file is the training."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit import signals
from genkit.data import batches
from genkit.train import AdamW, Interrupted, Phase, TrainState, checkpoint, fit, make_step

KEY = jax.random.key(3)
RULE = AdamW(lr=0.05).build(60)
DATA = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)


def init(key):
    return TrainState.create({"w": jax.random.normal(key, (4, 4)), "b": jnp.zeros(4)}, RULE)


def loss(params, aux, batch, key):
    noise = jax.random.normal(key, batch.shape)
    return jnp.mean((jnp.tanh((batch + noise) @ params["w"] + params["b"]) - batch) ** 2), (aux, {})


def validation(state, step):
    return {"val/loss": float(jnp.sum(state.ema["w"] ** 2))}


PHASE = Phase(
    "toy",
    init,
    make_step(loss, RULE, ema_half_life=10, clip=1.0),
    batches(DATA, 8, seed=1),
    60,
    every=((9, validation),),
    log_every=4,
)


def train(folder, phase=PHASE):
    return fit(phase, folder=folder, key=KEY, save_steps=7, save_every=1e9, progress=False)


def outcome(folder, state):
    """All that must be equal: parameters, optimiser, average, log, and the best checkpoint."""
    lines = [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()]
    lines = [row for row in lines if "compile_seconds" not in row]
    return jax.device_get(state), lines, checkpoint.latest(Path(folder) / "checkpoints/toy/best")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return outcome(folder, train(folder))


def assert_same(folder, uninterrupted):
    state, lines, best = outcome(folder, train(folder))
    jax.tree.map(np.testing.assert_array_equal, state, uninterrupted[0])
    assert lines == uninterrupted[1] and best == uninterrupted[2]


def test_kill_at_a_random_step(tmp_path, uninterrupted):
    step = int(np.random.default_rng().integers(8, 55))
    script = [sys.executable, __file__, str(tmp_path)]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            if line.strip() == f"step {step}":
                process.kill()
                break
    assert process.returncode == -signal.SIGKILL
    saved = checkpoint.latest(tmp_path / "checkpoints/toy/last")
    assert saved is not None and 0 < saved < 60
    assert_same(tmp_path, uninterrupted)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_between_steps(tmp_path, uninterrupted, number):
    before = signal.getsignal(number)

    class Sending:
        """The data of the phase, with a signal while batch 20 is fetched."""

        def __iter__(self):
            self.inner = iter(PHASE.data)
            self.get_state, self.set_state = self.inner.get_state, self.inner.set_state
            return self

        def __next__(self):
            if self.get_state()["batch"] == 20:
                os.kill(os.getpid(), number)
            return next(self.inner)

    with pytest.raises(Interrupted, match="was saved at step 21; --resume continues it") as stopped:
        train(tmp_path, replace(PHASE, data=Sending()))
    assert stopped.value.signal == number and stopped.value.step == 21
    assert signal.getsignal(number) is before
    assert_same(tmp_path, uninterrupted)


def test_signal_in_a_hook_saves_and_repeats_the_hook(tmp_path, uninterrupted):
    def slow(state, step):
        if step == 18:
            os.kill(os.getpid(), signal.SIGTERM)
            signals.check()  # as between two chunks
            raise AssertionError("the signal leaves the hook")
        return validation(state, step)

    with pytest.raises(Interrupted) as stopped:
        train(tmp_path, replace(PHASE, every=((9, slow),)))
    assert stopped.value.step == 18
    assert_same(tmp_path, uninterrupted)


def test_other_loggers_get_each_point_once(tmp_path, uninterrupted):
    got = []

    class Recorder:
        def scalars(self, step, values):
            got.append({"phase": "toy", "step": step, **{k.removeprefix("toy/"): v for k, v in values.items()}})

    def failing(state, step):
        if step == 18 and not (tmp_path / "failed").exists():
            (tmp_path / "failed").touch()
            raise RuntimeError  # after the line of step 16; the checkpoint is of step 14
        return validation(state, step)

    again = {"folder": tmp_path, "key": KEY, "save_steps": 7, "save_every": 1e9, "progress": False}
    phase = replace(PHASE, every=((9, failing),))
    with pytest.raises(RuntimeError):
        fit(phase, loggers=[Recorder()], **again)
    assert max(row["step"] for row in got) == 16 and checkpoint.latest(tmp_path / "checkpoints/toy/last") == 14
    fit(phase, loggers=[Recorder()], **again)
    assert [row for row in got if "compile_seconds" not in row] == uninterrupted[1]


if __name__ == "__main__":
    train(sys.argv[1], replace(PHASE, every=(*PHASE.every, (1, lambda state, step: print(f"step {step}", flush=True)))))
