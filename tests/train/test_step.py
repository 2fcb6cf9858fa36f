import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genkit.train import AdamW, Muon, TrainState, ema_decay, make_step
from genkit.train.optimizers import schedule

X = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
Y = X @ np.array([1.0, -2.0, 0.5], np.float32) + 0.3


def loss(params, aux, batch, key):
    x, y = batch
    error = x @ params["w"] + params["b"] - y
    return jnp.mean(error**2), (aux + 1, {"bias": jnp.mean(error)})


PARAMS = {"w": jnp.ones(3), "b": jnp.zeros(())}


def run(optimizer, steps=5, **options):
    state = TrainState.create(PARAMS, optimizer, aux=jnp.int32(0))
    step = jax.jit(make_step(loss, optimizer, **options))
    seen = []
    for i in range(steps):
        state, metrics = step(state, (X, Y), jax.random.key(i))
        seen.append((state, metrics))
    return seen


def test_accumulation_equals_the_big_batch():
    whole, parts = run(optax.adam(0.1)), run(optax.adam(0.1), accumulate=4)
    for (a, m), (b, n) in zip(whole, parts, strict=True):
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-5), (a.params, m), (b.params, n))
    assert whole[-1][0].aux == 5 and parts[-1][0].aux == 20


def test_ema_is_the_weighted_sum_of_all_parameters():
    seen = run(optax.sgd(0.1), ema_half_life=3.0, ema_ramp=None)
    history = [1.0, *(float(state.params["w"][0]) for state, _ in seen)]
    decay = 0.5 ** (1 / 3)
    weights = [decay**5, *((1 - decay) * decay ** (5 - i) for i in range(1, 6))]
    np.testing.assert_allclose(seen[-1][0].ema["w"][0], np.dot(weights, history), rtol=1e-6)
    assert sum(weights) == pytest.approx(1.0)


def test_ema_half_life_grows_with_the_training():
    np.testing.assert_allclose(ema_decay(100, 50.0, 0.05), 0.5 ** (1 / 5), rtol=1e-6)
    np.testing.assert_allclose(ema_decay(10_000, 50.0, 0.05), 0.5 ** (1 / 50), rtol=1e-6)
    np.testing.assert_allclose(np.prod([ema_decay(1, 50.0, None)] * 50), 0.5, rtol=1e-5)


def test_ema_of_low_precision_parameters_is_float32():
    half = jax.tree.map(lambda p: p.astype(jnp.bfloat16), PARAMS)
    assert TrainState.create(half, optax.sgd(0.1)).averaged["w"].dtype == jnp.float32
    assert TrainState.create(half, optax.sgd(0.1), ema=False).averaged["w"].dtype == jnp.bfloat16


def test_clipping_bounds_the_global_norm():
    free, metrics = run(optax.sgd(1.0), steps=1)[0]
    state, clipped = run(optax.sgd(1.0), steps=1, clip=0.25)[0]
    assert metrics["grad_norm"] > 1 and metrics["grad_norm"] == clipped["grad_norm"]
    moved = jax.tree.map(lambda a, b: a - b, state.params, PARAMS)
    np.testing.assert_allclose(optax.tree.norm(moved), 0.25, rtol=1e-5)
    loose, _ = run(optax.sgd(1.0), steps=1, clip=1e6)[0]
    np.testing.assert_array_equal(loose.params["w"], free.params["w"])


def test_schedules():
    rate = schedule(0.1, 1000, 9, "cosine")
    np.testing.assert_allclose([rate(0), rate(4), rate(9)], [0.01, 0.05, 0.1], rtol=1e-6)
    np.testing.assert_allclose(rate(9 + 991 // 2), 0.05, rtol=2e-3)
    np.testing.assert_allclose(rate(1000), 0.0, atol=1e-9)
    assert schedule(0.1, 50, 100, "constant")(5) == pytest.approx(0.1)  # the warm-up is at most a tenth


@pytest.mark.parametrize("optimizer", [AdamW(lr=0.05, warmup=3), Muon(lr=0.15, adam_lr=0.05, warmup=3)])
def test_optimisers_descend(optimizer):
    matrix = {"m": jnp.zeros((4, 4)), "b": jnp.zeros(4)}
    goal = jnp.eye(4) + 0.5
    rule = optimizer.build(100)

    def distance(params, aux, batch, key):
        return jnp.sum((params["m"] - goal) ** 2) + jnp.sum((params["b"] - 1) ** 2), (aux, {})

    step = make_step(distance, rule)
    state = TrainState.create(matrix, rule, ema=False)
    _, metrics = jax.lax.scan(lambda s, key: step(s, None, key), state, jax.random.split(jax.random.key(0), 100))
    assert metrics["loss"][-1] < 0.02 * metrics["loss"][0]
