"""The samplers' exact laws, pushed through their transition matrices; and what the chains promise beside."""

from dataclasses import replace
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.chain import callable_tree, draw, run, start
from genkit.discrete import (
    Ancestral,
    Cosine,
    Euler,
    FlowMatching,
    Linear,
    Remasking,
    TauLeaping,
    absorbing,
    categorical,
    conditioned,
    cosine_steps,
    discretised_gaussian,
    marginal,
    masked,
    sample,
    steps,
    uniform,
)
from genkit.discrete.ctmc import log_rate
from genkit.errors import UsageError
from genkit.testing import discrete_denoiser, exact_law

KEY = jax.random.key(0)
M = np.array([0.6, 0.3, 0.1])
P0 = np.array([0.2, 0.5, 0.3])
SAME = np.array([[0.4, 0.1], [0.1, 0.4]])
Q = np.array([[0.5, 0.1], [0.15, 0.25]])
MIXED = np.random.default_rng(3).dirichlet(np.ones(9)).reshape(3, 3)


@pytest.fixture(autouse=True)
def _fresh_trace_counter():
    chex.clear_trace_counter()


def law(sampler, table):
    """Exact law of the samples with the exact denoiser of a table."""
    process, sites = sampler.process, np.ndim(table)
    with jax.enable_x64(True):
        model = sampler.model(discrete_denoiser(table, process), (process.states**sites, sites))
        end = np.asarray(exact_law(model, sites, process.states))
    assert abs(end.sum() - 1) < 1e-12
    return end


def data(end):
    """The part of a law without mask symbols, which must be all."""
    end = end[(slice(-1),) * end.ndim]
    np.testing.assert_allclose(end.sum(), 1, rtol=1e-9)
    return end


@pytest.mark.parametrize(
    "make, expected",
    [
        (partial(uniform, 3), (0.21062233, 0.48672208, 0.30265559)),
        (partial(marginal, M), (0.23186700, 0.48406653, 0.28406647)),
        (partial(absorbing, 3, 0), (0.26381405, 0.46011622, 0.27606973)),
    ],
)
@pytest.mark.parametrize("likelihood", [True, False])
def test_noise_left_by_a_chain_and_its_mending(make, expected, likelihood):
    """A chain that stops one step early ends with noise; going to data itself leaves the prior's mismatch alone."""
    alphas = cosine_steps(4)
    np.testing.assert_allclose(law(Ancestral(make(steps(alphas[1:]), likelihood=likelihood)), P0), expected, atol=6e-9)
    # x_T is drawn from the prior in place of p_T, which are alpha_T apart
    end = law(Ancestral(make(steps(np.delete(alphas, 1)), likelihood=likelihood)), P0)
    assert 0 < np.abs(end - P0).max() < alphas[-1]
    exact_prior = steps([*alphas[[0, 2, 3]], 0.0])
    np.testing.assert_allclose(law(Ancestral(make(exact_prior, likelihood=likelihood)), P0), P0, atol=1e-12)


def test_noise_left_by_a_long_chain():
    end = law(Ancestral(uniform(3, steps(cosine_steps(1000)[1:]))), P0)
    np.testing.assert_allclose(end, [0.20000275, 0.49999656, 0.30000069], atol=6e-9)


def test_one_site_is_exact_at_any_stride():
    ordinal = discretised_gaussian(3, np.full(40, 2.0))
    for sampler in (
        *(Ancestral(marginal(M, Linear()), n) for n in (1, 2, 5)),
        *(Ancestral(masked(3, Cosine()), n) for n in (1, 3)),
        *(Ancestral(ordinal, n) for n in (1, 4, 40)),
    ):
        end = law(sampler, P0)
        np.testing.assert_allclose(data(end) if sampler.process.masking else end, P0, atol=1e-8)


def test_masks_two_sites_at_a_time():
    """Sites that show in the same step are independent: the law is (1 - 1/T) q + (1/T) q_1 x q_2."""
    for n in (1, 8, 64):
        end = data(law(Ancestral(masked(2, Linear()), n), Q))
        np.testing.assert_allclose(end, (1 - 1 / n) * Q + np.outer(Q.sum(1), Q.sum(0)) / n, rtol=1e-10)


def test_euler_with_masks_is_ancestral():
    expected = law(Ancestral(masked(3, Linear()), 6), MIXED)
    np.testing.assert_allclose(law(Euler(masked(3, Linear()), 6), MIXED), expected, atol=1e-12)
    np.testing.assert_allclose(law(FlowMatching(masked(3, Linear()), 6), MIXED), expected, atol=1e-12)
    np.testing.assert_allclose(law(Remasking(masked(3, Linear()), 6), MIXED), expected, atol=1e-12)


@pytest.mark.parametrize(
    "make",
    [
        partial(Ancestral, uniform(3, Linear(1e-3))),
        partial(Euler, uniform(3, Cosine())),
        partial(TauLeaping, marginal(M, Linear(1e-3))),
        partial(TauLeaping, masked(3, Linear())),
        partial(FlowMatching, masked(3, Linear()), eta=2.0),
        partial(FlowMatching, masked(3, Cosine()), eta=5.0),
    ],
)
def test_first_order(make):
    """The error at the end goes down with the length of steps, to the mismatch of the prior."""
    ends = np.array([law(make(n), MIXED)[:3, :3] for n in (32, 64, 128, 256)])
    process = make(1).process
    limit = MIXED  # with the prior in place of the law at t = 1, which differs by alpha(1)
    bias = float(np.exp(process.schedule.level(np.array(1.0)).keep))
    error = np.abs(ends - limit).sum((1, 2)) / 2
    assert (error[1:] < error[:-1]).all()
    assert error[-1] < 0.02
    order = -np.polyfit(np.log([32, 64, 128, 256]), np.log(error), 1)[0]
    assert 0.85 < order < 1.2 or error[-1] < 2 * bias


@pytest.mark.parametrize("make", [partial(uniform, 3), partial(marginal, M), partial(masked, 3)])
def test_rates_of_the_reverse_process(make):
    """R_t(x, y) = F_t(y, x) p_t(y) / p_t(x), F being the rates of the process."""
    process, t = make(Cosine()), 0.4
    n = process.states
    with jax.enable_x64(True):
        bar = process.bar(np.array(t))
        p0, prior = np.append(P0, 0) if process.masking else P0, np.exp(process.log_prior)
        q = np.exp(bar.keep) * np.eye(n) + np.exp(bar.renew) * prior
        pt = p0 @ q
        speed = -process.schedule.slope(np.asarray(t)) / np.exp(bar.keep)
        forward = speed * np.broadcast_to(prior, (n, n))
        with np.errstate(divide="ignore"):
            log_p = np.log(p0[:, None] * q / pt).T
            truth = forward.T * pt / pt[:, None]
        rate = speed * np.exp(bar.keep) * np.exp(jax.jit(log_rate)(process, bar, jnp.arange(n), log_p))
        np.testing.assert_allclose(rate, truth * (1 - np.eye(n)), atol=1e-12)


@pytest.mark.parametrize("sampler, jump", [(Euler, lambda j: np.minimum(j, 1)), (TauLeaping, lambda j: j * np.exp(-j))])
def test_laws_of_single_jumps(sampler, jump):
    """Euler: probability J of a jump, cut at 1; tau-leaping: J e^-J, that of one jump of a Poisson process."""
    process, x = uniform(3, Linear()), jnp.arange(3)[:, None]

    @jax.jit
    def laws(i):
        (kernel, inputs), _ = sampler(process, 4).model(discrete_denoiser(P0, process), (3, 1)).stages
        u = jax.tree.map(lambda a: jnp.asarray(a)[i], inputs)
        p = kernel.setting.arrive(x, u.t + 0.25, u.bar)
        return kernel.log_kernel(p, u), log_rate(process, u.bar, x, p.logits)

    for i in range(3):
        law, rate = (np.exp(a)[:, 0] for a in laws(i))
        total = 0.25 * rate.sum(1, keepdims=True)
        expected = jump(total) * 0.25 * rate / total
        np.testing.assert_allclose(law, expected + (1 - jump(total)) * np.eye(3), rtol=2e-5, atol=1e-6)
    assert (0.25 * np.exp(laws(0)[1])).sum(-1).max() > 1


@pytest.mark.parametrize("rule, eta", [("cap", 0.3), ("rescale", 0.6), ("rescale", 1.0)])
def test_remasking(rule, eta):
    """One site has its law at any number of steps, and a step the law of the paper."""
    for schedule in (Linear(), Cosine()):
        end = data(law(Remasking(masked(3, schedule), 5, eta=eta, rule=rule), P0))
        np.testing.assert_allclose(end, P0, atol=1e-9)
    with jax.enable_x64(True):
        (kernel, inputs), _ = Remasking(masked(2, Linear()), 20, eta=eta, rule=rule).model(None, (3, 1)).stages
        u = jax.tree.map(lambda a: np.asarray(a)[10], inputs)  # from alpha = .5 to .55
        sigma = eta if rule == "cap" else 0.9 * eta
        denoiser = discrete_denoiser(np.array([0.3, 0.7]), kernel.setting.process)
        log_k = jax.jit(
            lambda x: kernel.log_kernel(replace(kernel.setting, denoiser=denoiser).arrive(x, 0.5, u.bar), u)
        )
        moves = np.exp(log_k(jnp.arange(3)[:, None]))[:, 0]
    show = (0.55 - (1 - sigma) * 0.5) / 0.5
    expected = [[1 - sigma, 0, sigma], [0, 1 - sigma, sigma], [0.3 * show, 0.7 * show, 1 - show]]
    np.testing.assert_allclose(moves, expected, atol=1e-12)


def test_remasking_of_two_sites():
    """The law by hand, in steps from alpha = 0 to 1/3, 2/3 and 1: each site by itself given what shows before."""
    given = [Q / Q.sum(0), (Q / Q.sum(1, keepdims=True)).T]  # p(x1 | x2) by column, p(x2 | x1) by column
    now = np.zeros((3, 3))
    now[2, 2] = 1
    for before, after in ((0, 1 / 3), (1 / 3, 2 / 3), (2 / 3, 1)):
        sigma = 0.3 if after < 1 else 0.0
        show, then = (after - (1 - sigma) * before) / (1 - before), np.zeros((3, 3))
        for a in range(3):
            for b in range(3):
                laws = []
                for site, own, other in ((0, a, b), (1, b, a)):
                    p = given[site][:, other] if other < 2 else Q.sum(1 - site)
                    laws.append(
                        np.append(show * p, 1 - show)
                        if own == 2
                        else (1 - sigma) * np.eye(3)[own] + sigma * np.eye(3)[2]
                    )
                then += now[a, b] * np.outer(*laws)
        now = then
    np.testing.assert_allclose(law(Remasking(masked(2, Linear()), 3, eta=0.3), Q), now, atol=1e-9)


def test_hiding_again_keeps_the_law():
    """For one site and alpha = 1 - t a step is exact: from the law at t to that at s, whatever eta."""
    process, p0 = masked(2, Linear()), np.array([0.3, 0.7])
    denoiser, share = discrete_denoiser(p0, process), np.append(p0, 0)
    with jax.enable_x64(True):
        (kernel, inputs), _ = FlowMatching(process, 20, eta=4.0).model(denoiser, (3, 1)).stages
        u = jax.tree.map(lambda a: jnp.asarray(a[10]), inputs)
        log_kernel = jax.jit(lambda k, x, u: k.log_kernel(k.setting.arrive(x, 0.5, u.bar), u))
        moves = np.exp(log_kernel(kernel, jnp.arange(3)[:, None], u))[:, 0]
        np.testing.assert_allclose(moves[0], [0.8, 0, 0.2], atol=1e-12)
        now, then = (t * np.eye(3)[2] + (1 - t) * share for t in (0.5, 0.45))
        np.testing.assert_allclose(now @ moves, then, atol=1e-12)


SAMPLERS = {
    "euler": Euler(uniform(3, Linear(1e-3)), 4),
    "argmax": FlowMatching(masked(3, Linear()), 4, eta=1.0, argmax=True),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_samples_follow_the_law_of_log_prob(name):
    sampler, n = SAMPLERS[name], 20_000
    denoiser = discrete_denoiser(MIXED, sampler.process)
    x = sample(KEY, sampler, denoiser, (n, 2))
    assert x.dtype == jnp.int32 and x.shape == (n, 2)
    expected = law(sampler, MIXED)[:3, :3]
    counts = np.histogramdd(np.asarray(x), bins=[np.arange(4) - 0.5] * 2)[0]
    assert (np.abs(counts / n - expected) <= 4 * np.sqrt(expected * (1 - expected) / n) + 1e-12).all()
    # the numbers depend on the slot alone, so that a draw in chunks equals one draw
    later = sample(KEY, sampler, denoiser, (n, 2), slots=jnp.arange(n) + 5)
    np.testing.assert_array_equal(later[:-5], x[5:])
    assert not (later == x).all()


def test_number_of_network_calls():
    calls = []

    def denoiser(x, t, cond=None):
        jax.debug.callback(lambda t: calls.append(float(t)), t)
        return jnp.zeros((*x.shape, 3))

    sample(KEY, Ancestral(uniform(3, steps(cosine_steps(8))), 4), denoiser, (2, 5)).block_until_ready()
    jax.effects_barrier()
    assert sorted(calls) == [2, 4, 6, 8]


def test_new_values_do_not_retrace():
    # the call of the beginning and the one in the loop: two places in the program
    @jax.tree_util.register_static
    class Network:
        @chex.assert_max_traces(n=2)
        def __call__(self, x, t, bias):
            return bias[:, None] + 0.0 * x[..., None]

    network, cond = Network(), jnp.log(jnp.tile(P0, (64, 1)))

    def draw(key=0, eps=1e-3, weights=M, cond=cond):
        sampler = Ancestral(marginal(weights, Linear(eps)), 5)
        return sample(jax.random.key(key), sampler, network, (64, 8), cond)

    first = draw()
    for other in (draw(key=1), draw(eps=0.3), draw(weights=M[::-1]), draw(cond=-cond)):
        assert not (first == other).all()


def test_parts_with_processes_of_their_own():
    """Two independent parts of other shape and number of classes; a denoiser for both."""
    process = {"a": marginal(M, Linear()), "b": masked(5, Linear())}
    shape = {"a": (4000, 2), "b": (4000, 3, 1)}
    pb = np.array([0.1, 0.4, 0.2, 0.3, 0.0])

    def denoiser(x, t, cond):
        return {"a": jnp.log(P0) + jnp.zeros((*x["a"].shape, 3)), "b": jnp.log(pb) + jnp.zeros((*x["b"].shape, 5))}

    mask = {"a": np.array([True, False]), "b": np.ones(1, bool)}
    denoiser = jax.tree_util.Partial(denoiser)
    model = Ancestral(process, 3).model(denoiser, shape, mask=mask)
    state, _ = run(KEY, start(KEY, model, 4000), model.stages)
    x = state.p.x
    assert (x["a"][:, 1] == 0).all()
    for values, p in ((x["a"][:, 0], P0), (x["b"].ravel(), pb)):
        p_hat = np.bincount(values, minlength=len(p)) / len(values)
        assert (np.abs(p_hat - p) <= 4 * np.sqrt(p * (1 - p) / len(values))).all()

    @jax.jit
    def density(x):
        """Of independent sites of known law, in one step to data."""
        ((last, u),) = Ancestral(process, 1).model(denoiser, shape, mask=mask).stages
        u = jax.tree.map(lambda a: jnp.asarray(a[0]), u)
        p = last.setting.arrive({"a": jnp.zeros_like(x["a"]), "b": jnp.full_like(x["b"], 5)}, jnp.ones(()), u.bar)
        return last.log_prob(p, replace(p, x=x), u)

    expected = np.log(P0[x["a"][:, 0]]) + np.log(pb[x["b"]]).sum((1, 2))
    np.testing.assert_allclose(density(x), expected, rtol=1e-5)


def test_sites_that_are_not_real_do_not_count():
    """Neither in the density nor by what is said of them, be it NaN; they stay 0."""
    process, mask = uniform(3, Linear(1e-3)), np.array([[1, 1, 0], [1, 0, 0]], bool)
    real = np.array([True, True, False])

    @jax.tree_util.Partial
    def denoiser(x, t, cond):
        return jnp.where(real[:, None], jnp.log(P0) + jnp.zeros((*x.shape, 3)), jnp.nan)

    @jax.jit
    def one_move(mask):
        """log-density of the first move, the density of its sites, and the end of a whole run."""
        model = Euler(process, 3).model(denoiser, (2, 3), mask=mask)
        state = start(KEY, model, 2)
        (kernel, inputs), _ = model.stages
        u = jax.tree.map(lambda a: jnp.asarray(a[0]), inputs)
        p1 = kernel.move(jax.random.split(KEY, 2), state.p, u)
        sites = jnp.take_along_axis(kernel.log_kernel(state.p, u), p1.x[..., None], -1)[..., 0]
        end, _ = run(KEY, state, model.stages)
        return kernel.log_prob(state.p, p1, u), sites, end.p

    log_prob, sites, end = one_move(mask)
    np.testing.assert_allclose(log_prob, [sites[0, :2].sum(), sites[1, 0]], rtol=1e-6)
    assert (end.x[~mask] == 0).all() and not jnp.isnan(end.logits).any()


def test_half_precision_stays_in_the_network():
    """A law given in bfloat16 is drawn as it is, with noise of float32."""
    p = np.asarray(jax.nn.softmax(jnp.log(P0).astype(jnp.bfloat16).astype(jnp.float32)))
    x = categorical(jax.random.split(KEY, 100_000), jnp.tile(jnp.log(P0).astype(jnp.bfloat16), (100_000, 1)))
    assert (np.abs(np.bincount(x) / 1e5 - p) < 4 * np.sqrt(p * (1 - p) / 1e5)).all()
    process = uniform(3, Linear())
    shape = jax.eval_shape(process.denoised, jnp.zeros((4, 3), jnp.bfloat16), jnp.zeros(4, int), process.bar(0.5))
    assert shape.dtype == jnp.float32


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: Euler(uniform(3, steps([1, 0.5])), 1).model(None, (2, 2)), "Euler needs a process in continuous time"),
        (lambda: FlowMatching(uniform(3, Linear()), 4).model(None, (2, 2)), "must be masked"),
        (lambda: FlowMatching(masked(3, Linear()), 4, eta=-1.0), "eta=-1.0"),
        (lambda: Remasking(uniform(3, Linear()), 4).model(None, (2, 2)), "must be masked"),
        (lambda: Remasking(masked(3, Linear()), 4, eta=1.5), "eta=1.5"),
        (lambda: Ancestral("uniform", 3).model(None, (2, 2)), "one Process"),
        (lambda: Ancestral(uniform(3, Linear()), 3).model(None, {"a": (2, 2)}), "does not go with"),
        (lambda: Ancestral(uniform(3, Linear()), 3).model(None, (2, 2), mask={"a": True}), "mask has not"),
        (
            lambda: Ancestral([uniform(3, steps([1, 0])), uniform(3, steps([1, 0.5, 0]))]).model(None, [(2, 2)] * 2),
            "times",
        ),
        (lambda: sample(KEY, SAMPLERS["euler"], short, (4, 2)), r"\(4, 2, 2\) for x of shape \(4, 2\)"),
        (lambda: sample(KEY, SAMPLERS["euler"], short, (4, 2), cond=jnp.zeros(3)), "cond has a leaf"),
    ],
)
def test_wrong_use(make, words):
    with pytest.raises(UsageError, match=words) as error:
        make()
    assert "\n" not in str(error.value)


def short(x, t, cond=None):
    return jnp.zeros((*x.shape, 2))


def test_a_chain_made_for_one_condition_serves_another():
    """`conditioned` gives what the sampler makes for that condition and mask, in compiled code too."""
    process = uniform(3, steps(cosine_steps(4)))

    def denoiser(x, t, cond):
        return jnp.where(jnp.arange(3) == cond[:, None, None], 2.0, 0.0) * jnp.ones((*x.shape, 3))

    def made(cond, mask):
        return Ancestral(process).model(callable_tree(denoiser), (4, 2), cond, mask)

    cond, mask = jnp.array([0, 1, 2, 0]), jnp.array([[True, False]] * 4)
    key, other = jax.random.key(0), made(jnp.zeros(4, int), jnp.ones((4, 2), bool))
    expected = draw(key, made(cond, mask), 4).x
    found = jax.jit(lambda c, m: draw(key, conditioned(other, c, m), 4).x)(cond, mask)
    np.testing.assert_array_equal(found, expected)
    assert not found[:, 1].any() and (draw(key, other, 4).x != expected).any()
