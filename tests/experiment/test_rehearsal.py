"""What an experiment costs, said without training."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
import pytest

from genkit.data import NotFetched
from genkit.errors import DataError, GenkitError, UsageError
from genkit.experiment import Experiment, costs, rehearse
from genkit.testing import check_experiment
from genkit.train import Phase, TrainState, load, make_step

PRODUCT = 2 * 8**3


@jax.jit
def fifty(a):
    return jax.lax.scan(lambda c, _: (c @ a, None), a, length=50)[0]


@dataclass(frozen=True)
class Small(Experiment):
    """One matrix, fifty products."""

    broken: str = ""
    steps: int = 1000

    def train(self, run):
        def loss(params, aux, batch, key):
            return (params @ batch).sum(), (aux, {})

        def init(key):
            return TrainState.create(jnp.ones((8, 8)), optax.sgd(0.1), ema=False)

        def hook(state, step):
            return {"val/loss": float(fifty(state.params).sum())}

        step = make_step(loss, optax.sgd(0.1))
        phase = Phase("net", init, step, iter(lambda: jnp.ones((8, 8)), None), self.steps, every=((10, hook),))
        run.fit(phase)
        best = load(phase, run.folder).params
        run.once("trained", lambda: best)
        assert not any(run.folder.iterdir())

    def draw(self, run, key, n):
        if self.broken:
            raise {"luck": GenkitError, "file": DataError, "size": UsageError, "room": MemoryError, "net": NotFetched}[
                self.broken
            ](f"no {self.broken}\nat all")
        for _ in range(n):
            fifty(run.once("trained", lambda: None))


def test_parameters_and_operations():
    """The gradient by one factor is one product more; what updates parameters number by number adds a little."""
    found = rehearse(Small(), stages=("prepare", "train", "draw"))
    assert found.error is None and found.parameters == {"net": 64} and found.seen.trainings[0].phase.steps == 1000
    text = costs(Small())
    assert text["parameters"] == "64" and text["sample"] == "51.2 kFLOP" and 50 * PRODUCT == 51_200
    assert (
        text["training step"].endswith(" kFLOP") and 2 * PRODUCT < 1000 * float(text["training step"].split()[0]) < 3e3
    )


def test_what_an_experiment_cannot_say_is_named():
    for broken in ("luck", "net"):
        text = costs(Small(broken=broken))
        assert "sample" not in text and text["parameters"] == "64"
        assert text["not known"] == f"what comes after prepare and train (no {broken})"


@pytest.mark.parametrize("broken, error", [("file", DataError), ("size", UsageError), ("room", MemoryError)])
def test_what_a_run_would_raise_is_raised(broken, error):
    with pytest.raises(error, match=f"no {broken}"):
        costs(Small(broken=broken))


def test_memory_is_that_of_compiled_programs():
    text = costs(Small(), memory=True)
    assert {"memory, step of net", "memory, sample"} <= set(text)
    assert "MiB (arguments 0.0" in text["memory, sample"]


def test_programs_of_an_experiment_that_talks_are_refused(toy, monkeypatch):
    def draw(self, run):
        jax.jit(lambda x: jax.debug.print("{x}", x=x))(jnp.ones(2))

    with pytest.raises(AssertionError, match="toy.study calls no compiled program"):
        check_experiment("toy.study")
    monkeypatch.setattr(toy.Study, "sample", draw)
    with pytest.raises(AssertionError, match="toy.study: program '<lambda>' has a debug_"):
        check_experiment("toy.study")
