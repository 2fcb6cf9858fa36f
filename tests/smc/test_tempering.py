"""SMC samplers against integrals in closed form."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.chain import State, particle_keys
from genkit.errors import UsageError
from genkit.smc import HMC, MALA, Independent, PersistentSampling, RandomWalk, Tempering, ess, next_exponent
from genkit.smc.moves import Frame, adapt, frame, mutate
from genkit.testing.conjugate import LOG_Z, draw, log_p, log_p0

KEY = jax.random.key(0)


def many(sampler, n, runs, exponents=None):
    def one(key):
        state = sampler.run(key, n, draw, log_p0, log_p, exponents)
        w = jnp.exp(state.log_w)
        return state.log_z, w @ state.p.x[:, 0], w @ state.p.x[:, 0] ** 2, state.shared.exponent, state.t

    return [np.asarray(a, np.float64) for a in jax.jit(jax.vmap(one))(jax.random.split(KEY, runs))]


MOVES = RandomWalk(), MALA(), HMC(), Independent(), RandomWalk(diagonal=True)


@pytest.mark.parametrize("move", MOVES, ids=lambda m: type(m).__name__)
def test_moves_leave_their_target(move):
    """Exact draws of a skewed density (log-gamma) stay so, and a chain forgets where it began."""

    def log_prob(x):
        return jnp.sum(2 * x - jnp.exp(x))

    x = jnp.log(jax.random.gamma(KEY, 2.0, (20_000, 2)))
    at = frame(x, jnp.zeros(20_000), jnp.float32(move.step), move)
    keys = jax.random.split(KEY, 20_000)
    after, accept = jax.jit(partial(mutate, log_prob=log_prob, move=move, at=at, steps=3, waste_free=False))(keys, x)
    assert 0.2 < accept.mean() < 0.995
    assert abs(np.corrcoef(x[:, 0], after[:, 0])[0, 1]) < 0.8
    for power in (1, 2, 3):
        a, b = x**power, after**power
        assert (abs(a.mean(0) - b.mean(0)) < 4 * (a - b).std(0) / 20_000**0.5).all()


@pytest.mark.parametrize("spread", [0.5, 0.0])
def test_trajectories_neither_come_back_nor_turn_over(spread):
    """On N(0, I) a trajectory of length T gives corr(x, x') = E cos T and corr(x^2, x'^2) = E cos^2 T.

    The default, and a step that acceptance alone would let grow to half a turn and beyond.
    """
    x, n = jax.random.normal(KEY, (40_000, 4)), 40_000
    move = HMC(spread=spread)
    longer = adapt(move, jnp.float32(1.0), jnp.float32(0.99))
    np.testing.assert_allclose(longer * move.leapfrog, np.pi / 2, rtol=1e-6)
    assert adapt(HMC(), jnp.float32(0.2), jnp.float32(0.5)) < 0.2
    for step in (0.3, longer):
        at = Frame(jnp.zeros(4), jnp.ones(4), jnp.asarray(step))
        after, accept = jax.jit(
            partial(mutate, log_prob=lambda x: -x @ x / 2, move=move, at=at, steps=1, waste_free=False)
        )(jax.random.split(KEY, n), x)
        assert accept.mean() > 0.97
        angle = 2 * np.arcsin(np.linspace(1 - spread, 1 + spread, 1001) * step / 2) * 5  # of leapfrog steps
        for power, exact in ((1, np.cos(angle).mean()), (2, (np.cos(angle) ** 2).mean())):
            found = np.corrcoef(np.ravel(x**power), np.ravel(after**power))[0, 1]
            assert abs(found - exact) < 4 / (4 * n) ** 0.5 + 0.02 and abs(exact) < 0.2  # 0.02 for what is refused


@pytest.mark.parametrize("waste_free", [True, False])
def test_log_z_and_posterior(waste_free):
    """Adaptive exponents."""
    steps = 8 if waste_free else 3
    log_z, mean, square, exponent, t = many(Tempering(RandomWalk(), steps, 0.6, waste_free), 512, 100)
    ratio = np.exp(log_z - LOG_Z)
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / 10 and 0.01 < ratio.std() < 0.3
    assert (exponent == 1).all() and t.min() >= 3
    assert abs(mean.mean() - 1.6) < 4 * mean.std() / 10
    assert abs(square.mean() - 0.2 - 1.6**2) < 4 * square.std() / 10


def test_trace_of_the_steps():
    """Exponents grow to 1, each leaves the effective sample size asked for; beyond the last step are zeros."""
    state = Tempering(RandomWalk(), 8, 0.6).run(KEY, 512, draw, log_p0, log_p)
    t, at = int(state.t), state.shared
    assert 3 <= t < 200 and at.exponents.shape == at.ess.shape == at.accept.shape == (200,)
    assert (np.diff(at.exponents[:t]) > 0).all() and at.exponents[t - 1] == at.exponent == 1
    np.testing.assert_allclose(at.ess[: t - 1], 0.6 * 512, rtol=1e-3)
    assert at.ess[t - 1] >= 0.6 * 512 and ((at.accept[:t] > 0) & (at.accept[:t] < 1)).all()
    assert not (at.exponents[t:].any() or at.ess[t:].any() or at.accept[t:].any())
    np.testing.assert_allclose(at.accept[t - 1], jnp.exp(state.log_w) @ state.p.accept, rtol=1e-6)


def test_fixed_exponents():
    exponents = np.array([0.1, 0.3, 0.6, 1.0])
    log_z, mean, *_ = many(Tempering(MALA(), 2, waste_free=False), 256, 100, exponents)
    ratio = np.exp(log_z - LOG_Z)
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / 10 and ratio.std() < 0.2
    assert abs(mean.mean() - 1.6) < 4 * mean.std() / 10


def test_next_exponent():
    """The effective sample size is met, for a skewed likelihood, old weights and zeros."""
    log_w = jax.nn.log_softmax(0.3 * jax.random.normal(KEY, (1000,)))
    log_l = -jnp.exp(jax.random.normal(jax.random.key(1), (1000,)) * 1.5)
    b = next_exponent(log_w, log_l, jnp.float32(0.2), 0.7)
    assert 0.2 < b < 1
    np.testing.assert_allclose(ess(log_w + (b - 0.2) * log_l), 700, rtol=1e-3)
    assert next_exponent(log_w, log_l / 100, jnp.float32(0.2), 0.7) == 1
    dead = log_l.at[:600].set(-jnp.inf)  # no exponent keeps 700 of them
    b = next_exponent(log_w, dead, jnp.float32(0.2), 0.7)
    np.testing.assert_allclose(ess(log_w + (b - 0.2) * dead), 0.7 * ess(log_w[600:]), rtol=1e-3)
    half = next_exponent(log_w, dead, jnp.float32(0.2), 0.3)
    np.testing.assert_allclose(ess(log_w + (half - 0.2) * dead), 300, rtol=1e-3)


def test_each_run_of_many_ends_on_its_own():
    sampler = Tempering(RandomWalk(), 4, 0.5)

    def one(key, scale):
        state = sampler.run(key, 64, draw, log_p0, lambda x: log_p0(x) - scale * jnp.sum((x - 2) ** 2))
        return state.log_z, state.t, state.p.x, state.p.accept

    keys, scales = jax.random.split(KEY, 3), jnp.array([0.1, 5.0, 200.0])
    log_z, t, x, accept = jax.jit(jax.vmap(one))(keys, scales)
    assert len(set(t.tolist())) == 3 and ((accept >= 0) & (accept <= 1)).all()
    for i in range(3):
        alone = jax.jit(one)(keys[i], scales[i])
        assert alone[1] == t[i]
        np.testing.assert_allclose(alone[0], log_z[i], rtol=1e-4)
        np.testing.assert_allclose(alone[2], x[i], rtol=1e-3, atol=1e-4)


def test_new_values_do_not_retrace():
    traces = []

    def target(scale, x):
        traces.append(1)
        return log_p0(x) - scale * jnp.sum((x - 2) ** 2)

    counts, ends = [], []
    for seed, scale, step, alpha in ((0, 1.0, 0.5, 0.5), (1, 1.0, 0.4, 0.5), (1, 2.0, 0.4, 0.7)):
        own = jax.tree_util.Partial(target, scale)
        state = Tempering(RandomWalk(step), 4, alpha).run(jax.random.key(seed), 16, draw, log_p0, own)
        counts.append(len(traces))
        ends.append(float(state.log_z))
    assert counts[0] == counts[1] == counts[2] and len(set(ends)) == 3


def test_a_density_that_is_zero_everywhere_or_in_part():
    for sampler in (Tempering(RandomWalk(), 4), Tempering(MALA(), 2, waste_free=False)):
        with pytest.warns(RuntimeWarning, match="all weights were zero"):
            state = sampler.run(KEY, 64, draw, log_p0, lambda x: -jnp.inf * jnp.ones_like(x[0]))
        assert state.collapsed and state.log_z == -jnp.inf and state.t == 1
        assert np.isfinite(state.p.x).all() and np.isfinite(state.log_w).all()
    # half of the prior: Z = 1/2
    half = Tempering(RandomWalk(), 4).run(KEY, 4000, draw, log_p0, lambda x: jnp.where(x[0] > 0, log_p0(x), -jnp.inf))
    assert abs(jnp.exp(half.log_z) - 0.5) < 4 * 0.5 / 4000**0.5
    assert (half.p.x[half.log_w > -jnp.inf] > 0).all() and not half.collapsed


def test_a_run_that_stops_early_says_so():
    sampler = Tempering(RandomWalk(), 4, max_steps=2)
    with pytest.warns(RuntimeWarning, match="Tempering: it stopped at max_steps before its end"):
        state = sampler.run(KEY, 64, draw, log_p0, log_p)
    assert state.unfinished and state.shared.exponent < 1
    assert not Tempering(RandomWalk(), 4).run(KEY, 64, draw, log_p0, log_p).unfinished


@pytest.mark.parametrize("move", MOVES[:4], ids=lambda m: type(m).__name__)
def test_a_density_that_is_no_number_outside_its_support(move):
    """p = x^2 e^-x, whose logarithm is NaN below zero: Z = 2, mean 3; the states there are counted once."""

    def log_gamma(x):
        return 2 * jnp.log(x[0]) - x[0]

    def wide(key):
        return 4 * jax.random.normal(key, (1,))

    def log_wide(x):
        return jax.scipy.stats.norm.logpdf(x, 0, 4).sum()

    def one(key):
        return Tempering(move, 5).run(key, 2000, wide, log_wide, log_gamma)

    states = jax.jit(jax.vmap(one))(jax.random.split(KEY, 20))
    below = np.array(
        [
            (jax.vmap(wide)(particle_keys(jax.random.fold_in(k, 0), jnp.arange(2000))) < 0).sum()
            for k in jax.random.split(KEY, 20)
        ]
    )
    np.testing.assert_array_equal(states.undefined, below)
    assert not states.collapsed.any() and not states.unfinished.any()
    ratio = np.exp(np.asarray(states.log_z, np.float64)) / 2
    mean = np.asarray(jax.vmap(State.mean)(replace(states, p=states.p.x[..., 0])), np.float64)
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / 20**0.5 and abs(mean.mean() - 3) < 4 * mean.std() / 20**0.5


def test_states_of_several_parts():
    """A dict of an array and a scalar is the same run as one array of all its numbers."""

    def draw_dict(key):
        x = jax.random.normal(key, (3,))
        return {"a": x[:2], "b": x[2]}

    def whole(x):
        return log_p0(x) - jnp.sum((x - 2) ** 2) / 0.5

    def flat(x):
        return jnp.append(x["a"], x["b"])

    sampler = Tempering(RandomWalk(), 4)
    one = sampler.run(KEY, 64, lambda key: jax.random.normal(key, (3,)), log_p0, whole)
    parts = sampler.run(KEY, 64, draw_dict, lambda x: log_p0(flat(x)), lambda x: whole(flat(x)))
    np.testing.assert_allclose(parts.log_z, one.log_z, rtol=1e-5)
    np.testing.assert_allclose(jax.vmap(flat)(parts.p.x), one.p.x, rtol=1e-3, atol=1e-4)
    pool = PersistentSampling(RandomWalk(), 2, max_steps=4)
    one = pool.run(KEY, 16, lambda key: jax.random.normal(key, (3,)), log_p0, lambda x: log_p0(x) - x @ x)
    parts = pool.run(KEY, 16, draw_dict, lambda x: log_p0(flat(x)), lambda x: log_p0(flat(x)) - flat(x) @ flat(x))
    np.testing.assert_allclose(parts.log_z, one.log_z, rtol=1e-5)
    np.testing.assert_allclose(jax.vmap(flat)(parts.p.x), one.p.x, rtol=1e-3, atol=1e-4)


def test_errors():
    with pytest.raises(UsageError, match="64 particles cannot be kept waste-free from chains of 10"):
        Tempering().run(KEY, 64, draw, log_p0, log_p)
    with pytest.raises(UsageError, match="steps=1 must be at least 2"):
        Tempering(steps=1)
    with pytest.raises(UsageError, match="MCMC moves need real numbers, got int32"):
        Tempering(steps=4).run(KEY, 8, lambda key: jax.random.randint(key, (1,), 0, 9), log_p0, log_p)
    with pytest.raises(UsageError, match="must increase from above 0 to 1, where the target is"):
        Tempering(steps=4).run(KEY, 8, draw, log_p0, log_p, np.array([0.5, 0.9]))
