"""D3SMC on laws of a few bits, where the chain, its evidence and its posterior are sums over all states."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.chain import particle_keys, start
from genkit.discrete import ClassifierFree, Linear, Process, absorbing, masked, steps, uniform
from genkit.errors import GenkitError, UsageError
from genkit.steer import D3SMC, channel, posterior
from genkit.testing import check_kernel
from genkit.testing.discrete import all_states
from genkit.tree import register_dataclass

TABLE = np.array([0.30, 0.05, 0.10, 0.05, 0.05, 0.15, 0.05, 0.25]).reshape(2, 2, 2)
FLIPS = np.array([[0.9, 0.1], [0.1, 0.9]])
Y, SEEN = np.array([1, 0, 0]), np.array([True, True, False])
BITS = all_states(3, 2)
LIKE = np.prod(np.where(SEEN, FLIPS[BITS, Y], 1.0), axis=1)


@register_dataclass
@dataclass(frozen=True)
class Bits:
    """A law of three bits, its process on times 0..T by matrices, and the exact denoiser as a table."""

    process: Process
    said: Any
    """(T + 1, S^3, 3, 2) p(x_0 | x_t) of each bit; 1/2 of states that are never reached"""

    def __call__(self, x, t, cond=None):
        at = jnp.round(t / self.process.grid(len(self.said) - 1)[0] * (len(self.said) - 1)).astype(int)
        return jnp.log(self.said)[at, x @ (self.process.states ** np.array([2, 1, 0]))]


def problem(process, prior, alphas, table=TABLE):
    """The denoiser, and the laws (8,) of the ends of the decoupled and the ancestral chain.

    The process keeps a bit with probability alpha and else draws from `prior` (S,).
    """
    states = all_states(3, len(prior))
    q = [(a * np.eye(2, len(prior)) + (1 - a) * np.array(prior)) for a in alphas]  # (2, S) each
    joint = [table.reshape(-1)[:, None] * one[BITS[:, None], states].prod(-1) for one in q]
    said = [j.T @ (BITS == 1) / np.maximum(j.sum(0), 1e-30)[:, None] for j in joint]
    said = [np.where(j.sum(0)[:, None] > 0, p, 0.5) for p, j in zip(said, joint, strict=True)]
    said = np.stack([np.stack([1 - p, p], -1) for p in said])
    ends = []
    for chain in ("decoupled", "ancestral"):
        law = np.prod(np.array(prior)[states], -1)
        for s, t in zip(range(len(alphas) - 1)[::-1], range(1, len(alphas))[::-1], strict=True):
            if chain == "decoupled":
                rule = said[t] @ q[s]
            else:  # q(x_s | x_t, x_0) for every x_0, weighed by what the denoiser says
                keep = alphas[t] / alphas[s]
                step = keep * np.eye(len(prior)) + (1 - keep) * np.array(prior)
                paths = step[:, states].transpose(1, 2, 0)[:, :, None] * q[s]  # (S^3, 3, 2, S)
                rule = (said[t][..., None] * paths / np.maximum(paths.sum(-1, keepdims=True), 1e-30)).sum(2)
            law = law @ np.take_along_axis(rule[:, None], states[None, ..., None], -1)[..., 0].prod(-1)
        ends.append(law[(states < 2).all(1)])
    return Bits(process, said), dict(zip(("decoupled", "ancestral"), ends, strict=True))


KEY = jax.random.key(0)
ALPHAS = np.array([1.0, 0.8, 0.5, 0.2, 0.01])
PROBLEMS = {
    "uniform": problem(uniform(2, steps(ALPHAS), likelihood=False), [0.5, 0.5], ALPHAS),
    "absorbing": problem(absorbing(2, 0, steps(ALPHAS), likelihood=False), [1.0, 0.0], ALPHAS),
    "masked": problem(masked(2, Linear()), [0.0, 0.0, 1.0], np.array([1.0, 0.75, 0.5, 0.25, 0.0])),
}


def check(draws, law, like):
    """Evidence and posterior of the chain with that law (8,) of x_0, within four standard errors."""
    z = np.exp(np.asarray(draws.log_z, np.float64)) / (law @ like)
    assert z.std() / z.size**0.5 < 0.005
    assert abs(z.mean() - 1) < 4 * z.std() / z.size**0.5
    place = np.asarray(draws.x) @ [4, 2, 1]
    for state, p in enumerate(law * like / (law @ like)):
        gap = ((place == state).mean(1) - p) * z  # groups weighed by their evidence are unbiased
        assert gap.std() / z.size**0.5 < 0.003
        assert abs(gap.mean()) < 4 * gap.std() / z.size**0.5


@register_dataclass
@dataclass(frozen=True)
class Noised:
    """A table whose chain begins with x_2 drawn from the data and noised."""

    coefficients: Any
    log_q: Any

    def model(self, denoiser, observation, cond=None):
        model = self.coefficients.model(denoiser, observation, cond)

        def begin(keys):
            which = jax.vmap(jax.random.categorical, (0, None))(keys, self.log_q)
            return model.init.steps.arrive(jnp.asarray(BITS)[which], model.init.first)

        return replace(model, init=begin)


def test_the_problem_of_three_bits():
    """Against figures that were computed independently."""
    process = uniform(2, steps([1.0, 0.6, 0.2]), likelihood=False)  # flips with 0.2 and 0.4
    prior, _ = problem(process, [0.5, 0.5], np.array([1.0, 0.6, 0.2]))
    noise = np.array([[0.6, 0.4], [0.4, 0.6]])
    q = np.einsum("abc,ai,bj,ck->ijk", TABLE, noise, noise, noise).reshape(-1)
    np.testing.assert_allclose(q[:3], [0.1336, 0.1244, 0.1224], atol=1e-6)
    after = 0.6 * prior.said[2][..., 1] + 0.2  # probability that a bit of x_1 is one
    law = q
    for ones in (after, prior.said[1][..., 1]):
        law = law @ np.where(BITS == 1, ones[:, None], 1 - ones[:, None]).prod(-1)
    expected = [0.212394, 0.098619, 0.106535, 0.082416, 0.098619, 0.140569, 0.082416, 0.178434]
    np.testing.assert_allclose(law, expected, atol=6e-7)
    like = LIKE / 2  # the third bit is measured too, by a channel that tells nothing
    assert law @ like == pytest.approx(0.1235495208, abs=1e-10)
    expected = [0.077359, 0.035919, 0.004311, 0.003335, 0.323275, 0.460791, 0.030018, 0.064990]
    np.testing.assert_allclose(law * like / (law @ like), expected, atol=6e-7)
    table, given = Noised(D3SMC().table(process), np.log(q)), channel(Y, np.stack([FLIPS, FLIPS, np.full((2, 2), 0.5)]))
    draws = posterior(KEY, table, prior, given, groups=256, particles=1000, draws=200)
    check(draws, law, like)


@pytest.mark.parametrize(
    ("name", "chain"), [("absorbing", "decoupled"), ("masked", "decoupled"), ("uniform", "ancestral")]
)
def test_evidence_and_posterior(name, chain):
    prior, laws = PROBLEMS[name]
    assert laws[chain].sum() == pytest.approx(1)
    given = channel(Y, FLIPS, SEEN)
    draws = posterior(
        jax.random.key(1), D3SMC(steps=4, chain=chain), prior, given, groups=256, particles=400, draws=200
    )
    assert draws.x.shape == (256, 200, 3) and draws.ess.shape == (256, 5)
    check(draws, laws[chain], LIKE)


def test_the_last_weight_is_one():
    """R p / r over the surrogate: why the last step has no potential. And the kernel is one."""
    prior, _ = PROBLEMS["masked"]
    model = D3SMC(steps=4).table(prior.process).model(prior, channel(Y, FLIPS, SEEN))
    (kernel, inputs), (last, _) = model.stages
    p = start(jax.random.key(0), model, 6).p
    check_kernel(kernel, p, jax.tree.map(lambda a: jnp.asarray(a[1]), inputs))
    x0 = last.move(particle_keys(jax.random.key(1), jnp.arange(6)), p, None)
    given = kernel.law
    log_p, log_r = (np.take_along_axis(np.asarray(q.logits), np.asarray(x0)[..., None], -1).sum((1, 2))
                    for q in (p, given.condition(p)))  # fmt: skip
    log_like = np.log(np.where(SEEN, FLIPS[x0, Y], 1.0)).sum(1)
    np.testing.assert_allclose(log_like + log_p - log_r - given.log_lik(p), 0, atol=1e-5)


def test_a_channel_without_noise():
    """What was seen is never missed, and a prior that excludes it is told."""
    prior, _ = PROBLEMS["masked"]
    sure = channel(Y, np.eye(2), SEEN)
    draws = posterior(KEY, D3SMC(steps=4), prior, sure, groups=20, particles=50)
    assert (np.asarray(draws.x)[..., :2] == [1, 0]).all()
    assert np.isfinite(draws.log_z).all()
    never = replace(prior, said=np.broadcast_to([1.0, 0.0], prior.said.shape))  # the first bit is zero
    with pytest.raises(GenkitError, match="no particle explains"):
        posterior(KEY, D3SMC(steps=4), never, sure, groups=20, particles=50)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: channel(Y, FLIPS / 2), "sum to 1"),
        (lambda: channel([0, 2, 0], FLIPS), "integers 0 to 1"),
        (lambda: channel([0.5, 0.0, 1.0], FLIPS), "integers 0 to 1"),
        (lambda: channel(Y, FLIPS, [True]), "seen has shape"),
        (lambda: channel(Y, FLIPS, np.zeros(3, bool)), "one at least"),
        (lambda: channel(Y, np.ones(2)), "table has shape"),
        (lambda: D3SMC(chain="best"), "chain='best'"),
        (lambda: posterior(KEY, D3SMC(), lambda x, t, c: x, channel(Y, FLIPS), 1), "EDM is no process"),
        (lambda: posterior(KEY, D3SMC(4), PROBLEMS["masked"][0], channel(Y, np.eye(3)), 1), "3 classes"),
    ],
)
def test_what_cannot_be(make, says):
    with pytest.raises(UsageError, match=says):
        make()


def test_guided_denoisers_are_refused():
    prior, _ = PROBLEMS["masked"]
    guided = ClassifierFree(jnp.zeros(()), 2.0)(prior)
    with pytest.raises(UsageError, match="one law of x_0"):
        posterior(KEY, D3SMC(4).table(prior.process), guided, channel(Y, FLIPS), 1, 2, cond=jnp.zeros(1))
