import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genkit.data import batches
from genkit.errors import GenkitError
from genkit.train import AdamW, NonFiniteLoss, Phase, TrainState, checkpoint, fit, load, make_step

X = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
Y = X @ np.array([1.0, -2.0, 0.5], np.float32) + 0.3
KEY = jax.random.key(0)
RULE = AdamW(lr=0.1).build(200)


def loss(params, aux, batch, key):
    return jnp.mean((batch["x"] @ params["w"] + params["b"] - batch["y"]) ** 2), (aux, {})


def init(key):
    return TrainState.create({"w": jax.random.normal(key, (3,)), "b": jnp.zeros(())}, RULE)


def distance(state, step):
    return {"val/loss": abs(float(state.params["b"]) - 0.2)}


REGRESSION = Phase(
    "regression",
    init,
    make_step(loss, RULE, ema_half_life=10),
    batches({"x": X, "y": Y}, 16),
    200,
    every=((10, distance),),
)


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_regression(tmp_path):
    state = fit(REGRESSION, folder=tmp_path, key=KEY, config={"lr": 0.1}, progress=False)
    np.testing.assert_allclose(state.params["w"], [1.0, -2.0, 0.5], atol=1e-3)
    np.testing.assert_allclose(state.params["b"], 0.3, atol=1e-3)
    lines = rows(tmp_path)
    assert lines[0].keys() == {"phase", "step", "compile_seconds"}
    assert [row["step"] for row in lines if "loss" in row] == list(range(1, 201))
    validation = [row["val/loss"] for row in lines if "val/loss" in row]
    assert len(validation) == 20
    # The intercept passes 0.2 on its way to 0.3: the best checkpoint is not the last.
    best, last = load(REGRESSION, tmp_path, "best"), load(REGRESSION, tmp_path, "last")
    assert abs(float(best.params["b"]) - 0.2) == pytest.approx(min(validation)) and best.step < 200
    jax.tree.map(np.testing.assert_array_equal, last, state)
    # A finished phase is restored, and another configuration refused.
    again = fit(REGRESSION, folder=tmp_path, key=KEY, config={"lr": 0.1}, progress=False)
    jax.tree.map(np.testing.assert_array_equal, again, state)
    with pytest.raises(GenkitError, match=r"lr is 0\.1 there, 0\.2 is asked for"):
        fit(REGRESSION, folder=tmp_path, key=KEY, config={"lr": 0.2}, progress=False)


def test_two_players(tmp_path):
    """A GAN of one number each: the generator's shift finds the mean of the data, 1.5."""
    rules = {"generator": optax.sgd(0.05), "critic": optax.sgd(0.2)}

    def init(key):
        return {name: (jnp.zeros(()), rule.init(jnp.zeros(()))) for name, rule in rules.items()}

    def step(state, batch, key):
        real, fake = 1.5 + 0.1 * jax.random.normal(key, (2, 64))
        fake = fake - 1.5 + state["generator"][0]

        def critic_loss(slope):
            return -slope * (real.mean() - fake.mean()) + slope**2 / 2

        def generator_loss(shift):
            return -state["critic"][0] * shift

        new, metrics = {}, {}
        for name, value in (("critic", critic_loss), ("generator", generator_loss)):
            params, memory = state[name]
            metrics[f"{name}_loss"], grads = jax.value_and_grad(value)(params)
            updates, memory = rules[name].update(grads, memory)
            new[name] = optax.apply_updates(params, updates), memory
        return new, metrics

    state = fit(Phase("gan", init, step, None, 600), folder=tmp_path, key=KEY, progress=False)
    assert float(state["generator"][0]) == pytest.approx(1.5, abs=0.02)
    assert rows(tmp_path)[-1].keys() == {"phase", "step", "critic_loss", "generator_loss"}


def test_teacher_and_student(tmp_path):
    """A student learns a frozen teacher's function, then takes over a pool of states that the step changes."""
    teacher = jnp.array([2.0, -1.0])

    def init(key):
        return {"teacher": teacher, "student": jnp.zeros(2), "pool": jax.random.normal(key, (32, 2))}

    def step(state, batch, key):
        def distillation(student):
            return jnp.mean((state["pool"] @ (student - state["teacher"])) ** 2)

        value, grads = jax.value_and_grad(distillation)(state["student"])
        fresh = jax.random.normal(key, (8, 2))
        pool = jnp.concatenate([state["pool"][8:], fresh])
        return {**state, "student": state["student"] - 0.2 * grads, "pool": pool}, {"loss": value}

    state = fit(Phase("distil", init, step, None, 200), folder=tmp_path, key=KEY, progress=False)
    np.testing.assert_allclose(state["student"], teacher, atol=1e-4)
    np.testing.assert_array_equal(state["teacher"], teacher)


def test_a_loss_that_is_not_finite_stops_and_is_not_saved(tmp_path):
    def bad(params, aux, batch, key):
        value, rest = loss(params, aux, batch, key)
        return jnp.where(aux >= 12, jnp.nan, value), (aux + 1, {})

    def start(key):
        return replace(init(key), aux=jnp.int32(0))

    phase = replace(REGRESSION, init=start, step=make_step(bad, RULE), every=())
    where = r"loss is nan at step 13 \(batch seed \d+:\d+\); the last good checkpoint is .*regression/last/12;"
    with pytest.raises(NonFiniteLoss, match=where):
        fit(phase, folder=tmp_path, key=KEY, save_steps=6, progress=False)
    good, meta = checkpoint.restore(tmp_path / "checkpoints/regression/last", jax.eval_shape(start, KEY))
    assert meta["step"] == 12 and np.isfinite(good.params["w"]).all()


def test_parameters_that_are_nan_behind_a_finite_loss_are_not_saved(tmp_path):
    def step(state, batch, key):
        return state.at[0].set(jnp.sqrt(-state[1])), {"loss": state[1]}

    phase = Phase("roots", lambda key: jnp.ones(2), step, None, 3)
    with pytest.raises(NonFiniteLoss, match="the state has NaN at step 3 .*there is no earlier checkpoint"):
        fit(phase, folder=tmp_path, key=KEY, progress=False)
    assert checkpoint.latest(tmp_path / "checkpoints/roots/last") is None


def test_metrics_and_batches_of_a_wrong_shape(tmp_path):
    phase = Phase("shapes", lambda key: jnp.ones(2), lambda s, b, k: (s, {"loss": s}), None, 3)
    with pytest.raises(GenkitError, match=r"metric 'loss' has shape \(2,\); a step's metrics are scalars"):
        fit(phase, folder=tmp_path, key=KEY, progress=False)
    ragged = [np.ones(4), np.ones(3)]
    phase = Phase("ragged", lambda key: jnp.ones(2), lambda s, b, k: (s, {"loss": b.sum()}), ragged, 3)
    with pytest.raises(GenkitError, match=r"differs from the first .*float64\[4\]|differs .*float32\[4\]"):
        fit(phase, folder=tmp_path, key=KEY, progress=False)
    with pytest.raises(GenkitError, match="ended after 1 of 3 steps"):
        fit(replace(phase, data=ragged[:1]), folder=tmp_path, key=KEY, progress=False)


def test_loggers_get_the_phase_in_the_names(tmp_path):
    class Memory:
        def __init__(self):
            self.seen = {}

        def scalars(self, step, values):
            self.seen.setdefault(step, {}).update(values)

        def artifact(self, path): ...

        def close(self): ...

    memory = Memory()
    short = replace(REGRESSION, steps=4, log_every=2, every=((4, distance),))
    fit(short, folder=tmp_path, key=KEY, loggers=[memory], progress=False)
    assert memory.seen[2].keys() == {"regression/loss", "regression/grad_norm"}
    assert memory.seen[4].keys() >= {"regression/val/loss", "regression/loss"}
