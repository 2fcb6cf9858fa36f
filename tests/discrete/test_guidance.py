"""Guided chains: the exact limits of small steps, and what guidance is made of."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.discrete import (
    Ancestral,
    ClassifierFree,
    Euler,
    FlowMatching,
    Linear,
    Predictor,
    Product,
    masked,
    sample,
    uniform,
)
from genkit.discrete.product import combine, multiply, power
from genkit.errors import UsageError
from genkit.testing import discrete_denoiser, exact_law

KEY = jax.random.key(0)
Q = np.array([[0.5, 0.1], [0.15, 0.25]])
MASKED = masked(2, Linear())
EQUAL = np.eye(2)
SOFT = np.array([[0.9, 0.3], [0.2, 0.6]])


@jax.tree_util.Partial
def predictor(log_joint, one_hot, t, cond=None):
    """log p(c | x_S) under masks from log q(x) p(c | x), [0], and log q(x), [1]: multilinear in the one-hot x."""
    weight = one_hot[..., :2] + one_hot[..., 2:]
    with_c, alone = jnp.einsum("cij,ni,nj->cn", jnp.exp(log_joint), weight[:, 0], weight[:, 1])
    return jnp.log(with_c) - jnp.log(alone)


def of_class(given):
    """log p(c | x_S) of a class with p(c | x) = given."""
    with np.errstate(divide="ignore"):
        return jax.tree_util.Partial(predictor, np.log(np.stack([Q * given, Q])))


def limit(guide, make=Euler, **options):
    """Law of the guided chain for steps that go to zero: two Richardson extrapolations."""
    with jax.enable_x64(True):
        laws = []
        for n in (100, 200, 400):
            model = make(MASKED, n, **options).model(guide(discrete_denoiser(Q, MASKED)), (9, 2))
            laws.append(np.asarray(exact_law(model, 2, 3)))
    first = 2 * laws[1] - laws[0], 2 * laws[2] - laws[1]
    return ((4 * first[1] - first[0]) / 3)[:2, :2].ravel()


def test_probabilities_of_a_class():
    x = jnp.array([[2, 2], [0, 2], [1, 2], [2, 0], [2, 1]])
    log_p = of_class(EQUAL)(jax.nn.one_hot(x, 3), 0.5)
    np.testing.assert_allclose(np.exp(log_p), [0.75, 0.833333, 0.625, 0.769231, 0.714286], atol=1e-6)


@pytest.mark.parametrize(
    "given, strength, expected, tempered",
    [
        (EQUAL, 1, (2 / 3, 0, 0, 1 / 3), (2 / 3, 0, 0, 1 / 3)),
        (EQUAL, 2, (0.705290, 0, 0, 0.294710), (2 / 3, 0, 0, 1 / 3)),
        (SOFT, 1, (0.681818, 0.045455, 0.045455, 0.227273), (0.681818, 0.045455, 0.045455, 0.227273)),
        (SOFT, 2, (0.794861, 0.018380, 0.011225, 0.175535), (0.794118, 0.017647, 0.011765, 0.176471)),
        (SOFT, 4, (0.913254, 0.002505, 0.000546, 0.083695), (0.907469, 0.002241, 0.000664, 0.089627)),
    ],
)
def test_predictor_guidance_of_rates(given, strength, expected, tempered):
    """Exact at strength 1; otherwise not the tempered law, at a known distance."""
    end = limit(Predictor(of_class(given), MASKED, float(strength)))
    np.testing.assert_allclose(end, expected, atol=2e-6)
    target = Q.ravel() * given.ravel() ** strength
    np.testing.assert_allclose(target / target.sum(), tempered, atol=1e-6)
    if given is SOFT and strength > 1:
        tv = np.abs(end - target / target.sum()).sum() / 2
        np.testing.assert_allclose(tv, {2: 0.001476, 4: 0.006050}[strength], atol=2e-6)


def test_predictor_guidance_in_other_chains():
    """At strength 1 moves by the posterior have the same limit, and so has showing with hiding again."""
    target = (Q * SOFT / (Q * SOFT).sum()).ravel()
    np.testing.assert_allclose(limit(Predictor(of_class(SOFT), MASKED), Ancestral), target, atol=1e-5)
    np.testing.assert_allclose(limit(Predictor(of_class(SOFT), MASKED), FlowMatching, eta=1.0), target, atol=1e-4)


@pytest.mark.parametrize("first_order", [False, True])
def test_ratios_of_neighbours(first_order):
    """Exact ones at all neighbours; first order is exact for a log-probability linear in the one-hot x."""
    process, table = uniform(3, Linear(1e-3)), np.random.default_rng(0).normal(size=(2, 2, 3))
    x, t = jnp.array([[[0, 2], [1, 1]], [[2, 2], [0, 1]]]), jnp.array([0.5, 1.0])

    def log_prob(one_hot, t, cond):
        return t * jnp.einsum("nabk,abk->n", one_hot, table) + cond

    def plain(x, t, cond):
        return jnp.zeros((*x.shape, 3))

    guided = Predictor(log_prob, process, 2.0, first_order)(plain)
    answer = jax.jit(lambda guided, *a: guided(*a))(guided, x, t, jnp.array([3.0, 4.0]))
    np.testing.assert_array_equal(answer.weights[0], 1)
    scaled = table * np.asarray(t).reshape(2, 1, 1, 1)
    expected = 2 * (scaled - np.take_along_axis(scaled, np.asarray(x)[..., None], -1))
    np.testing.assert_allclose(answer.tilt, expected, atol=1e-5)


def conditional(x, t, cond):
    """Independent sites, whose law is the condition."""
    return cond[:, None] + jnp.zeros((*x.shape, cond.shape[-1]))


@pytest.mark.parametrize("of", ["kernel", "x0"])
def test_classifier_free_guidance(of):
    """Masks: a product of kernels moves the time at which a site shows, one of laws of x_0 does not."""
    with_c, without, s = np.array([0.7, 0.2, 0.1]), np.array([0.3, 0.3, 0.4]), 2.0
    process, cond = masked(3, Linear()), jnp.log(jnp.tile(with_c, (4, 1)))
    guided = ClassifierFree(jnp.log(without), s, of)(conditional)
    model = Ancestral(process, 4).model(guided, (4, 1), cond)

    @jax.jit
    def law(model):
        (kernel, inputs), _ = model.stages
        u = jax.tree.map(lambda a: jnp.asarray(a)[1], inputs)
        return jnp.exp(kernel.log_kernel(kernel.setting.arrive(jnp.arange(4)[:, None], 0.75, u.bar), u))[:, 0]

    tilted = with_c**s * without ** (1 - s)
    show = np.append(tilted if of == "kernel" else tilted / tilted.sum(), 2.0) / 3  # one third of the masks show
    np.testing.assert_allclose(law(model), [*np.eye(4)[:3], show / show.sum()], atol=1e-6)


def test_classifier_free_limits_and_one_call():
    calls = []

    def denoiser(x, t, cond):
        calls.append(x.shape)
        return conditional(x, t, cond)

    x, cond, null = jnp.zeros((4, 2), int), jnp.log(jnp.array([[0.7, 0.2, 0.1]] * 4)), jnp.log(jnp.ones(3) / 3)
    for strength, c in ((0.0, jnp.broadcast_to(null, (4, 3))), (1.0, cond)):
        answer = ClassifierFree(null, strength)(denoiser)(x, jnp.array([0.5, 0.2, 0.7, 0.1]), cond)
        np.testing.assert_allclose(combine(answer), conditional(x, 0.5, c), rtol=1e-6)
    assert calls == [(8, 2)] * 2


def test_guidance_composes():
    """A predictor around classifier-free guidance, and the other way round, is the product of both."""
    tilt = jnp.log(jnp.array([0.5, 0.25, 0.25]))

    def log_prob(one_hot, t, cond):
        return (one_hot * tilt).sum((1, 2))

    cond, null, process = jnp.log(jnp.array([[0.7, 0.2, 0.1]])), jnp.log(jnp.ones(3) / 3), uniform(3, Linear(1e-3))
    cfg, guide, x = ClassifierFree(null, 3.0), Predictor(log_prob, process, 2.0), jnp.array([[1, 0]])
    expected = 3 * cond[0] - 2 * null + 2 * (tilt - tilt[x[0]][:, None])
    np.testing.assert_allclose(combine(guide(cfg(conditional))(x, 0.5, cond))[0], expected, rtol=1e-5)
    np.testing.assert_allclose(combine(cfg(guide(conditional))(x, 0.5, cond))[0], expected, rtol=1e-5)
    with pytest.raises(UsageError, match="innermost"):
        ClassifierFree(null, 3.0, "x0")(guide(conditional))(x, 0.5, cond)


def test_products_of_impossible_classes():
    """What an expert of positive weight excludes stays so; one of negative weight cannot make infinite."""
    a, b = jnp.array([[[0.0, -jnp.inf, -1.0]]]), jnp.array([[[-1.0, -1.0, -jnp.inf]]])
    one = jnp.ones(1)
    both = multiply(power(Product((a,), (one,)), 2.0), power(Product((b,), (one,)), -1.0))
    np.testing.assert_allclose(combine(both)[0, 0], [1.0, -np.inf, 78.0])
    np.testing.assert_allclose(combine(power(Product((a,), (one,)), 0.0))[0, 0], [0, 0, 0])


def test_guidance_that_forbids_all_is_not_followed():
    (last, _) = Ancestral(MASKED, 1).model(conditional, (1, 1)).stages[0]
    alone, nothing = jnp.log(jnp.array([[[0.3, 0.7, 0.0]]])), jnp.full((1, 1, 3), -jnp.inf)
    np.testing.assert_allclose(np.exp(last.normalise(nothing, alone, jnp.array([[2]])))[0, 0], [0.3, 0.7, 0], rtol=1e-6)


def test_new_strengths_do_not_retrace():
    chex.clear_trace_counter()
    process, cond = masked(3, Linear()), jnp.log(jnp.tile(jnp.array([0.7, 0.2, 0.1]), (64, 1)))

    @chex.assert_max_traces(n=2)
    def network(x, t, cond):
        return conditional(x, t, cond)

    def log_prob(one_hot, t, cond):
        return one_hot[..., 1].sum(1)

    def draw(free, guided):
        denoiser = Predictor(log_prob, process, guided, first_order=True)(ClassifierFree(jnp.zeros(3), free)(network))
        return sample(KEY, Ancestral(process, 3), denoiser, (64, 4), cond)

    plain, free, guided = draw(1.0, 0.0), draw(5.0, 0.0), draw(1.0, 3.0)
    assert (free == 0).mean() > (plain == 0).mean() and (guided == 1).mean() > (plain == 1).mean()


def test_wrong_kind():
    with pytest.raises(UsageError, match="of='logits'"):
        ClassifierFree(None, 1.0, "logits")  # type: ignore[arg-type]
