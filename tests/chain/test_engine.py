"""The loop against closed forms, with resamplers made for the test only."""

from dataclasses import dataclass, replace
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm

from genkit.chain import Kernel, Model, reweigh, run, run_until, start, step
from genkit.errors import UsageError
from genkit.tree import register_dataclass

KEY = jax.random.key(0)
Y = np.array([0.5, -0.3, 1.2, 0.8, -1.0])
PHI, Q = 0.9, 0.5  # x_1 ~ N(0, 1), x_t = PHI x_{t-1} + N(0, Q), y = x + N(0, 1)


@register_dataclass
@dataclass(frozen=True)
class Bootstrap(Kernel):
    """State-space model: propagate, weigh by the observation, which is the input of the step."""

    phi: Any = PHI

    def move(self, keys, p, u):
        return self.phi * p + jnp.sqrt(Q) * normal(keys)

    def log_g(self, p, p1, u):
        return norm.logpdf(u, p1)


@register_dataclass
@dataclass(frozen=True)
class Walk(Kernel):
    scale: Any = 1.0

    def move(self, keys, p, u):
        return p + self.scale * normal(keys) + u


@register_dataclass
@dataclass(frozen=True)
class Multinomial:
    """Resamples to m when the effective number of particles falls below a fraction."""

    threshold: Any = 2.0

    def __call__(self, key, before, after):
        n = after.shape[0]
        did = 1 / jnp.exp(2 * after).sum() < self.threshold * n
        idx = jnp.where(did, jax.random.categorical(key, after, shape=(n,)), jnp.arange(n))
        return idx, jnp.where(did, -jnp.log(n), after), did


def normal(keys):
    return jax.vmap(jax.random.normal)(keys)


def gaussian_init(keys):
    return normal(keys), None


def observed_init(keys):
    x = normal(keys)
    return x, norm.logpdf(Y[0], x)


def kalman():
    """log p(y) and filter mean and variance at the end."""
    cov = PHI ** np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    var = [1.0]
    for _ in range(4):
        var.append(PHI**2 * var[-1] + Q)
    cov = cov * np.minimum.outer(var, var)  # cov(x_s, x_t) = PHI^(t - s) var(x_s) as var grows
    s = cov + np.eye(5)
    log_z = -0.5 * (Y @ np.linalg.solve(s, Y) + np.linalg.slogdet(2 * np.pi * s)[1])
    gain = np.linalg.solve(s, cov[:, -1])
    return log_z, gain @ Y, cov[-1, -1] - gain @ cov[:, -1]


def test_unbiased_estimate_of_the_evidence(optimised):
    log_z, mean, variance = kalman()
    np.testing.assert_allclose(log_z, -7.426791615629888, rtol=1e-12)
    np.testing.assert_allclose((mean, variance), (-0.1620238952182972, 0.467860224081132), rtol=1e-10)

    model = Model(observed_init, ((Bootstrap(), Y[1:]),))

    def one(key, threshold):
        state, _ = run(key, start(key, model, 100), model.stages, Multinomial(threshold))
        w = jnp.exp(state.log_w)
        return state.log_z, w @ state.p, w @ state.p**2, w.sum(), state.collapsed

    many = jax.jit(jax.vmap(one, (0, None)))
    for threshold in (0.0, 0.5, 2.0):  # never, sometimes, always resample
        estimates, first, second, total, collapsed = many(jax.random.split(KEY, 400), threshold)
        ratio = np.exp(np.asarray(estimates, np.float64) - log_z)
        assert abs(ratio.mean() - 1) < 4 * ratio.std() / 20
        np.testing.assert_allclose(total, 1, rtol=1e-5)
        np.testing.assert_allclose([first.mean(), second.mean()], [mean, variance + mean**2], atol=0.03)
        assert not collapsed.any()


def test_bookkeeping_of_one_step():
    """Weights and ancestors on numbers small enough to do by hand."""

    @register_dataclass
    @dataclass(frozen=True)
    class Shift(Kernel):
        def plan(self, key, state, u):
            return 10 * u, state.shared + 1

        def look(self, keys, p, u):
            return p + 0.5, jnp.log(jnp.array([1.0, 2.0, 0.0, 1.0]))

        def move(self, keys, p, u):
            return p + u

        def log_g(self, p, p1, u):
            return jnp.log(p1 - p)

    def resampler(key, before, after):
        np.testing.assert_allclose(jnp.exp(before), 0.25, rtol=1e-6)
        np.testing.assert_allclose(jnp.exp(after), [0.25, 0.5, 0, 0.25], rtol=1e-6)
        return jnp.array([1, 1, 3, 0]), jnp.log(jnp.array([0.25, 0.25, 0.25, 0.25])), jnp.array(True)

    def init(keys):
        return jnp.arange(4.0), None

    state = start(KEY, Model(init, (), shared=0), 4)
    state = step(KEY, state, Shift(), jnp.float32(0.3), resampler)
    np.testing.assert_allclose(state.p, [4.5, 4.5, 6.5, 3.5])
    np.testing.assert_array_equal(state.ancestors, [1, 1, 3, 0])
    np.testing.assert_array_equal(state.eve, [1, 1, 3, 0])
    assert state.shared == 1 and state.t == 1 and state.resampled and not state.collapsed
    # sum of weights: look 1/4 (1 + 2 + 0 + 1) = 1, then the potential log 3 of all
    np.testing.assert_allclose(state.log_z, np.log(3.0), rtol=1e-6)
    np.testing.assert_allclose(state.log_w, -np.log(4.0), rtol=1e-6)


def test_waste_free_moves():
    """m particles resampled of n, each moved to n / m states."""

    @register_dataclass
    @dataclass(frozen=True)
    class Fan(Kernel):
        def move(self, keys, p, u):
            return (p[:, None] + jnp.arange(2) / 10).reshape(-1)

        def log_g(self, p, p1, u):
            return jnp.log(p1)

    def resampler(key, before, after):
        return jnp.array([3, 0]), jnp.log(jnp.array([0.75, 0.25])), True

    state = start(KEY, Model(lambda keys: (jnp.arange(1.0, 5.0), None), ()), 4)
    state, kept = run(KEY, state, ((Fan(), np.zeros(1)),), resampler, keep=_p)
    np.testing.assert_allclose(state.p, [4, 4.1, 1, 1.1])
    np.testing.assert_array_equal(state.ancestors, [3, 3, 0, 0])
    w = np.array([0.75, 0.75, 0.25, 0.25]) / 2 * state.p
    np.testing.assert_allclose(np.exp(state.log_w), w / w.sum(), rtol=1e-6)
    np.testing.assert_allclose(state.log_z, np.log(w.sum()), rtol=1e-6)
    np.testing.assert_array_equal(kept[0], state.p[None])


def test_dead_particles_and_collapse():
    log_w = jnp.log(jnp.array([0.5, 0.25, 0.25]))
    new, total = reweigh(log_w, jnp.array([-jnp.inf, 0.0, 0.0]))
    np.testing.assert_allclose(jnp.exp(new), [0, 0.5, 0.5], rtol=1e-6)
    np.testing.assert_allclose(total, np.log(0.5), rtol=1e-6)

    @register_dataclass
    @dataclass(frozen=True)
    class Wall(Kernel):
        """Kills all particles at step `at`, half of them at the others."""

        at: Any

        def move(self, keys, p, u):
            return p

        def log_g(self, p, p1, u):
            return jnp.where((u == self.at) | (p1 % 2 == 0), -jnp.inf, 0.0)

    def init(keys):
        return jnp.arange(6), None

    for at, collapsed in ((9, False), (1, True)):
        state = start(KEY, Model(init, ()), 6)
        state, kept = run(KEY, state, ((Wall(at), jnp.arange(3)),), keep=_weights)
        assert state.collapsed == collapsed
        assert (state.log_z == -jnp.inf) == collapsed
        assert not jnp.isnan(kept[0][0]).any() and not jnp.isnan(kept[0][1]).any()
    np.testing.assert_array_equal(kept[0][1], [np.log(0.5).astype(np.float32), -np.inf, -np.inf])


def test_potentials_that_are_no_numbers_count_as_zero_and_are_told():
    """NaN and +inf leave the other particles as they are; each particle with a weight is counted once."""

    @register_dataclass
    @dataclass(frozen=True)
    class Holes(Kernel):
        def move(self, keys, p, u):
            return p

        def log_g(self, p, p1, u):
            return jnp.where(p1 == 0, jnp.nan, jnp.where(p1 == 1, jnp.inf, jnp.where(p1 == 2, -jnp.inf, u)))

    model = Model(lambda keys: (jnp.arange(8), None), ((Holes(), np.log([3.0, 2.0])),))

    def one(key):
        return run(key, start(key, model, 8), model.stages)[0]

    state = one(KEY)
    np.testing.assert_allclose(np.exp(state.log_w), [0, 0, 0, *[0.2] * 5], rtol=1e-6)
    np.testing.assert_allclose(state.log_z, np.log(6 * 5 / 8), rtol=1e-6)
    assert state.undefined == 2 and not state.collapsed
    assert state.troubles() == (
        "2 particles met a potential of NaN or +inf, which counts as zero; check where the target is defined",
    )
    assert "8 particles after 2 steps" in repr(state) and "2 particles met" in repr(state)
    with pytest.warns(RuntimeWarning, match="a filter: 2 particles met a potential of NaN"):
        assert state.warned("a filter") is state
    many = jax.vmap(one)(jax.random.split(KEY, 3))
    assert many.troubles()[0].startswith("6 particles met") and many.troubles()[0].endswith("(in 3 of 3 runs)")
    assert jax.eval_shape(one, KEY).troubles() == ()

    state, _ = run(KEY, start(KEY, Model(lambda keys: (jnp.zeros(4), None), ()), 4), ((Holes(), np.zeros(1)),))
    assert state.collapsed and state.undefined == 4 and state.log_z == -jnp.inf and np.isfinite(state.log_w).all()


def test_weighted_means_leave_out_what_has_no_weight():
    state = start(KEY, Model(lambda keys: (jnp.arange(4.0), jnp.log(jnp.array([0.0, 1.0, 1.0, 2.0]))), ()), 4)
    np.testing.assert_allclose(state.mean(), (1 + 2 + 2 * 3) / 4, rtol=1e-6)
    means = state.mean(lambda x: {"root": jnp.log(x), "both": jnp.stack([x, x**2], 1)})  # log 0 has no weight
    np.testing.assert_allclose(means["root"], (np.log(2) + 2 * np.log(3)) / 4, rtol=1e-6)
    np.testing.assert_allclose(means["both"], [9 / 4, 23 / 4], rtol=1e-6)


def test_nothing_optional_leaves_a_trace():
    """Plain sampling carries the constants of its weights and computes nothing with them."""
    model = Model(gaussian_init, ((Walk(), np.zeros(3)),))
    text = str(jax.make_jaxpr(lambda k: run(k, start(k, model, 4), model.stages))(KEY))
    assert " exp " not in text and "reduce_max" not in text and "gather" not in text


def test_run_goes_on_from_a_state_and_in_chunks():
    model = Model(observed_init, ((Bootstrap(), Y[1:]),))
    ((kernel, inputs),) = model.stages
    begin = start(KEY, model, 8)
    whole, _ = run(KEY, begin, model.stages, Multinomial(0.5))
    part, _ = run(KEY, begin, ((kernel, inputs[:2]), (kernel, inputs[2:])), Multinomial(0.5))
    chex.assert_trees_all_equal(part, whole)

    plain, _ = run(KEY, begin, model.stages)
    for slots in np.arange(8).reshape(2, 4):
        chunk, _ = run(KEY, start(KEY, model, 4, slots), model.stages, slots=slots)
        np.testing.assert_array_equal(chunk.p, plain.p[slots])
        np.testing.assert_array_equal(chunk.eve, slots)


def test_caches_travel_with_ancestors():
    """What a move computed where it arrived is found beside the state after resampling."""

    @register_dataclass
    @dataclass(frozen=True)
    class Cached(Kernel):
        def move(self, keys, p, u):
            x = p["x"] + normal(keys)
            return {"x": x, "square": x**2, "path": p["path"].at[:, u].set(x)}

        def log_g(self, p, p1, u):
            return -p1["square"]

    def init(keys):
        x = normal(keys)
        return {"x": x, "square": x**2, "path": jnp.zeros((x.shape[0], 5))}, -(x**2)

    model = Model(init, ((Cached(), jnp.arange(5)),))
    state, kept = run(KEY, start(KEY, model, 16), model.stages, Multinomial(), keep=_genealogy)
    np.testing.assert_array_equal(state.p["square"], state.p["x"] ** 2)
    # ancestors traced backward give the path which each particle carried
    (xs, ancestors), place = kept[0], jnp.arange(16)
    for t in reversed(range(5)):
        np.testing.assert_array_equal(state.p["path"][:, t], xs[t][place])
        place = ancestors[t][place]
    np.testing.assert_array_equal(place, state.eve)
    assert len(np.unique(state.eve)) < 16


def test_new_leaves_do_not_retrace():
    chex.clear_trace_counter()

    @register_dataclass
    @dataclass(frozen=True)
    class Counted(Kernel):
        scale: Any

        @chex.assert_max_traces(n=1)
        def _draw(self, keys, p):
            return p + self.scale * normal(keys)

        def move(self, keys, p, u):
            return self._draw(keys, p) + u

    ends = []
    for seed, scale in ((0, 1.0), (0, 2.0), (1, 2.0)):
        key, stages = jax.random.key(seed), ((Counted(jnp.float32(scale)), scale * np.ones(4)),)
        state, _ = run(key, start(key, Model(gaussian_init, stages), 3), stages, Multinomial(scale))
        ends.append(np.asarray(state.p))
    assert not np.allclose(ends[0], ends[1]) and not np.allclose(ends[1], ends[2])


def test_particle_type_changes_in_a_stage_of_one_step():
    @register_dataclass
    @dataclass(frozen=True)
    class Round(Kernel):
        def move(self, keys, p, u):
            return jnp.round(p).astype(jnp.int32)

    stages = ((Walk(), np.zeros(3)), (Round(), np.zeros(1)))
    state, kept = run(KEY, start(KEY, Model(gaussian_init, stages), 4), stages, keep=_p)
    assert state.p.dtype == jnp.int32
    assert [(k.shape, k.dtype) for k in kept] == [((3, 4), jnp.float32), ((1, 4), jnp.int32)]


def test_run_until():
    """Ends by the condition or the number of steps; under vmap each run on its own."""

    @register_dataclass
    @dataclass(frozen=True)
    class Count(Walk):
        def plan(self, key, state, u):
            return u, state.shared + 1

    model = Model(gaussian_init, (), shared=0)

    def one(key, last):
        state = start(key, model, 3)
        return run_until(key, state, Count(), lambda s: s.shared >= last, 5, Multinomial(), u=jnp.ones(()))

    keys = jax.random.split(KEY, 3)
    many = jax.vmap(one)(keys, jnp.array([0, 2, 9]))
    np.testing.assert_array_equal(many.t, [0, 2, 5])
    np.testing.assert_array_equal(many.shared, many.t)
    np.testing.assert_array_equal(many.unfinished, [False, False, True])
    assert many.troubles() == (
        "it stopped at max_steps before its end, so log_z is not that of the target; raise max_steps (in 1 of 3 runs)",
    )
    for i, t in enumerate(many.t):
        stages = ((Count(), np.ones(t)),)
        alone, _ = run(keys[i], start(keys[i], model, 3), stages, Multinomial()) if t else (one(keys[i], 0), None)
        alone = replace(alone, unfinished=many.unfinished[i])
        chex.assert_trees_all_close(jax.tree.map(lambda a, i=i: a[i], many), alone, rtol=1e-6)


def test_reference_takes_place_0():
    """Weights and parents of the pinned particle on numbers small enough to do by hand."""

    @register_dataclass
    @dataclass(frozen=True)
    class Add(Kernel):
        def move(self, keys, p, u):
            return p + u

        def log_prob(self, p, p1, u):
            return jnp.where(p == 3.0, 0.0, -jnp.inf)

        def log_g(self, p, p1, u):
            return jnp.log(p1)

    def init(keys):
        return jnp.arange(1.0, 4.0), jnp.log(jnp.arange(1.0, 4.0))

    def resampler(did, key, before, after):
        return jnp.array([0, 2, 1]), jnp.log(jnp.array([0.5, 0.25, 0.25])), did

    model = Model(init, ((Add(), np.ones(1)),))
    ref = (jnp.array([9.0]),)
    for did, ancestor, parents in ((True, False, [0, 2, 1]), (True, True, [2, 2, 1]), (False, True, [0, 2, 1])):
        state = start(KEY, model, 3, ref=(jnp.float32(6.0), jnp.log(6.0)))
        np.testing.assert_allclose(np.exp(state.log_w), np.array([6, 2, 3]) / 11, rtol=1e-6)
        own = jax.tree_util.Partial(resampler, did)
        state, _ = run(KEY, state, model.stages, own, ref=ref, ancestor=ancestor)
        np.testing.assert_array_equal(state.p, [9, 4, 3])
        np.testing.assert_array_equal(state.ancestors, parents)
        np.testing.assert_array_equal(state.eve, parents)
        np.testing.assert_allclose(state.log_z, np.log(11 / 3 * (9 / 2 + 4 / 4 + 3 / 4)), rtol=1e-6)
    with pytest.raises(UsageError, match="ancestor sampling needs ref and a kernel with log_prob; Bootstrap lacks one"):
        run(KEY, state, ((Bootstrap(), Y),), Multinomial(), ref=(Y,), ancestor=True)


def test_errors():
    @register_dataclass
    @dataclass(frozen=True)
    class Wrong(Walk):
        def log_g(self, p, p1, u):
            return p1[:, None]

    state = start(KEY, Model(gaussian_init, ()), 4)
    with pytest.raises(UsageError, match=r"Wrong.log_g returned weights of shape \(4, 1\); expected \(4,\)"):
        step(KEY, state, Wrong(), 0.0)
    with pytest.raises(UsageError, match="inputs of Walk have leading sizes"):
        run(KEY, state, ((Walk(), (np.zeros(3), np.zeros(2))),))
    with pytest.raises(UsageError, match="inputs of Walk have leading sizes"):
        run(KEY, state, ((Walk(), None),))
    with pytest.raises(UsageError, match="slots have shape"):
        start(KEY, Model(gaussian_init, ()), 4, jnp.arange(3))


def _p(state):
    return state.p


def _weights(state):
    return state.log_w, state.log_z


def _genealogy(state):
    return state.p["x"], state.ancestors
