"""Oracles of categorical processes against sums over all states."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit.discrete import Cosine, discretised_gaussian, marginal, masked, uniform
from genkit.errors import UsageError
from genkit.testing import all_states, discrete_denoiser, hmm_denoiser, ising_denoiser, potts_denoiser

TABLE = np.random.default_rng(0).dirichlet(np.ones(27)).reshape(3, 3, 3)
HMM = hmm_denoiser([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], [[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
call = jax.jit(lambda denoiser, x: denoiser(x, 0.5))
log_prob = jax.jit(lambda denoiser, x: denoiser.log_prob(x))


@pytest.mark.parametrize(
    "process, t",
    [
        (uniform(3, Cosine()), 0.4),
        (marginal([0.2, 0.3, 0.5], Cosine(), likelihood=False), 0.4),
        (masked(3, Cosine()), 0.4),
        (discretised_gaussian(3, [0.5, 1.0]), 2.0),
    ],
)
def test_table(process, t):
    """With the process's likelihood: exactly p(x_0 | x_t), and log_prob is log p(x_t)."""
    x, n = jnp.asarray(all_states(3, process.states)), process.states
    with jax.enable_x64(True):
        bar = process.bar(np.array(t))
        q = np.exp(process.row(bar, jnp.arange(3)))

        @jax.jit
        def both(denoiser, times):
            return process.denoised(denoiser(x, times), x, bar), denoiser.log_prob(x, times)

        joint = np.einsum("abc,ax,by,cz->xyzabc", TABLE, q, q, q).reshape(n**3, 3, 3, 3)
        log_p, log_prob = both(discrete_denoiser(TABLE, process), jnp.asarray(t))
        np.testing.assert_allclose(np.exp(log_prob), joint.sum((1, 2, 3)), rtol=1e-10)
        exact = np.stack([joint.sum(tuple({1, 2, 3} - {i})) for i in (1, 2, 3)], 1)
        exact /= exact.sum(-1, keepdims=True)
        np.testing.assert_allclose(np.exp(log_p)[..., :3], exact, atol=1e-12)
        log_p_by_item, _ = both(discrete_denoiser(TABLE, process), jnp.full(n**3, t))
        np.testing.assert_allclose(log_p_by_item, log_p, rtol=1e-12)
        if process.masking:  # of masks no time is needed
            log_p_masks, _ = both(discrete_denoiser(TABLE), jnp.asarray(0.9))
            np.testing.assert_allclose(np.exp(log_p_masks), np.exp(log_p), atol=1e-12)


def test_hidden_markov_chain():
    with jax.enable_x64(True):
        np.testing.assert_allclose(np.exp(log_prob(HMM, jnp.array([[0, 1, 2, 2, 0]]))), 0.0021865200, rtol=1e-10)
        x = jnp.asarray(all_states(4, 4))
        chain = log_prob(HMM, x)
        p = np.exp(chain).reshape(4, 4, 4, 4)[:3, :3, :3, :3]
        np.testing.assert_allclose(p[0, 1, 2, 2], 0.0082950000, rtol=1e-10)
        np.testing.assert_allclose(-(p * np.log(p)).sum(), 4.12944169, rtol=1e-8)
        # conditionals of hidden sites and marginals of visible ones, against the table of all sequences
        table = discrete_denoiser(p)
        np.testing.assert_allclose(chain, jax.jit(lambda d: d.log_prob(x, 0.5))(table), rtol=1e-9, atol=1e-12)
        conditionals = (jax.nn.log_softmax(call(d, x)) for d in (HMM, table))
        np.testing.assert_allclose(*conditionals, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "n, coupling, field, chain, ring",
    [
        (10, 0.5, 0.0, 8.01250237, 8.13306092),
        (10, 0.5, 0.2, 8.46839306, 8.64268138),
        (16, 0.8, 0.1, 15.77534962, 16.11788213),
    ],
)
def test_chain_and_ring_of_spins(n, coupling, field, chain, ring):
    with jax.enable_x64(True):
        found = [log_prob(ising_denoiser(coupling, field, closed), jnp.full((1, n), 2))[0] for closed in (False, True)]
    np.testing.assert_allclose(found, [chain, ring], atol=5e-9)


def test_chain_and_ring_of_potts():
    """log Z in closed form, and conditionals against the table of all states."""
    with jax.enable_x64(True):
        k, n, coupling = 3, 7, 0.8
        e = np.exp(coupling) - 1
        pair = coupling * np.eye(k)
        found = [log_prob(potts_denoiser(pair, np.zeros(k), r), jnp.full((1, n), k))[0] for r in (False, True)]
        exact = [np.log(k) + (n - 1) * np.log(e + k), np.log((e + k) ** n + (k - 1) * e**n)]
        np.testing.assert_allclose(found, exact, rtol=1e-12)

        rng = np.random.default_rng(0)
        pair, field, x = rng.normal(size=(k, k)), rng.normal(size=k), jnp.asarray(all_states(4, 4))
        every = all_states(4, k)
        energy = field[every].sum(1) + pair[every[:, :-1], every[:, 1:]].sum(1)
        for ring, total in ((False, energy), (True, energy + pair[every[:, -1], every[:, 0]])):
            both = potts_denoiser(pair, field, ring), discrete_denoiser(np.exp(total).reshape((k,) * 4))
            conditionals = (jax.nn.log_softmax(call(d, x)) for d in both)
            np.testing.assert_allclose(*conditionals, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(log_prob(both[0], x), jax.jit(lambda d: d.log_prob(x, 0.5))(both[1]), rtol=1e-9)


def test_correlation_of_spins():
    """tanh(coupling)^distance without a field, from the conditional given one spin up."""
    with jax.enable_x64(True):
        p = jax.nn.softmax(call(ising_denoiser(0.5), jnp.array([[2, 2, 1, 2, 2, 2]])))[0]
        np.testing.assert_allclose(
            (p[:, 1] - p[:, 0])[np.array([1, 3, 5])], np.tanh(0.5) ** np.array([1, 1, 3]), rtol=1e-10
        )
        np.testing.assert_allclose(np.tanh(0.5) ** 3, 0.09868617, rtol=1e-6)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: discrete_denoiser(np.ones((2, 3))), "table has shape"),
        (lambda: discrete_denoiser(-np.ones((2, 2))), "non-negative"),
        (lambda: discrete_denoiser(TABLE)(jnp.zeros((4, 2), int), 0.5), "3 sites"),
        (lambda: discrete_denoiser(TABLE, uniform(3, Cosine()))(jnp.zeros((4, 3), int), 1), "int32"),
        (lambda: hmm_denoiser([1.0], np.eye(2), np.eye(2)), "transition"),
        (lambda: potts_denoiser(np.eye(2), np.zeros(3)), "pair"),
    ],
)
def test_wrong_input(make, words):
    with pytest.raises(UsageError, match=words):
        make()
