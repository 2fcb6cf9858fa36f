"""Samplers, kernels, resampling: all would run on a GPU or a TPU, which this machine need not have."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genkit import discrete
from genkit.chain import run, start
from genkit.diffusion import log_likelihood, sample
from genkit.experiment import preset_of
from genkit.plugin import registry
from genkit.smc import (
    HMC,
    IBIS,
    MALA,
    SCHEMES,
    FactorGraph,
    Factors,
    Independent,
    PersistentSampling,
    RandomWalk,
    Resample,
    Tempering,
    belief_propagation,
    controlled,
    particle_gibbs,
    sample_path,
    sqmc,
)
from genkit.steer import DAISI, dense, observe, posterior
from genkit.testing import LinearGaussian, check_lowers, discrete_denoiser, gaussian_denoiser
from genkit.testing.conjugate import draw, log_p, log_p0

KEY = jax.random.key(0)
SAMPLERS = [item.name for item in registry().items("samplers")]
METHODS = [item.name for item in registry().items("methods")]
UNIFORM = discrete.uniform(2, discrete.steps(discrete.cosine_steps(4)))
MASKED = discrete.masked(2, discrete.Linear())
TABLE = np.array([[0.4, 0.1], [0.1, 0.4]])


def loaded(kind, name):
    return preset_of(registry().load(kind, name), "tiny")


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers(name):
    check_lowers(partial(sample, KEY, loaded("samplers", name), gaussian_denoiser(), (2, 16)))


@pytest.mark.parametrize("solver", ["rk4", "heun", "tsit5", "dopri5"])
def test_likelihood(solver):
    x = jnp.ones((2, 2))
    check_lowers(partial(log_likelihood, KEY, x, gaussian_denoiser(), solver=solver, steps=3))
    check_lowers(jax.jit(jax.grad(lambda x: log_likelihood(KEY, x, gaussian_denoiser(), solver=solver)[0].sum())), x)


@pytest.mark.parametrize(
    "sampler",
    [
        discrete.Ancestral(UNIFORM),
        discrete.TauLeaping(MASKED, 3),
        discrete.Euler(MASKED, 3),
        discrete.FlowMatching(MASKED, 3),
        discrete.Remasking(MASKED, 3, eta=0.5),
        discrete.OrderAgnostic(2, confident=True),
    ],
    ids=lambda s: type(s).__name__,
)
def test_discrete_samplers(sampler):
    denoiser = discrete_denoiser(TABLE, getattr(sampler, "process", MASKED))
    check_lowers(partial(discrete.sample, KEY, sampler, denoiser, (2, 2)))


@pytest.mark.parametrize("name", METHODS)
def test_posterior_samplers(name):
    observation = observe(dense([[0.48, 0.64]]), [1.0], 0.5)
    check_lowers(partial(posterior, KEY, loaded("methods", name), gaussian_denoiser(), observation, 2, 8))


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_inverse_sampling(noise):
    method, observation = DAISI(noise=noise, steps=3), observe(dense([[0.48, 0.64]]), [1.0], 0.5)
    check_lowers(partial(method, KEY, gaussian_denoiser(), observation, jnp.ones((3, 2))))


def test_resampling():
    log_w = jnp.log(jnp.arange(1.0, 9.0) / 36)
    for scheme in SCHEMES.values():
        check_lowers(jax.jit(lambda key, log_w, scheme=scheme: scheme(key, log_w, 8)), KEY, log_w)


def log_lik(x, y):
    return jax.scipy.stats.norm.logpdf(y, x, 0.5).sum()


@pytest.mark.parametrize("move", [RandomWalk(), MALA(), HMC(leapfrog=2), Independent()], ids=lambda m: type(m).__name__)
def test_samplers_of_densities(move):
    for sampler in (Tempering(move, steps=2), PersistentSampling(move, 2, 0.9, max_steps=5)):
        check_lowers(jax.jit(lambda key, sampler=sampler: sampler.run(key, 8, draw, log_p0, log_p)), KEY)
    check_lowers(jax.jit(lambda key: IBIS(move, steps=2).run(key, 8, draw, log_p0, log_lik, jnp.ones(3))), KEY)


def test_filters_and_graphs():
    model = LinearGaussian(sy=0.5).bootstrap(np.ones(4))

    def gibbs(key):
        ref, _ = sample_path(key, model, 6, Resample(threshold=1.0))
        return particle_gibbs(key, model, 6, 2, ref, Resample("conditional_multinomial", 1.0), "trace")

    def graph(key):
        pair = np.tile(0.5 * np.outer([-1.0, 1.0], [-1.0, 1.0]), (2, 1, 1))
        spins = FactorGraph(np.ones((3, 2)), (Factors(((0, 1), (1, 2)), pair),))
        model = spins.model(belief_propagation(spins))
        return run(key, start(key, model, 4), model.stages, Resample())[0]

    def learned(key):
        chain = LinearGaussian(sy=0.5).chain(np.ones(3))
        model = sqmc(chain, 8, 0)
        return controlled(key, chain, 8, 2, Resample()), run(key, start(key, model, 8), model.stages)

    check_lowers(jax.jit(gibbs), KEY)
    check_lowers(graph, KEY)
    check_lowers(jax.jit(learned), KEY)


def test_what_no_other_machine_has_is_named():
    with pytest.raises(AssertionError, match=r"program 'loud' has a debug_(print|callback), which waits"):

        def loud(x):
            jax.debug.print("{x}", x=x)
            return x

        check_lowers(jax.jit(loud), jnp.ones(2))
    with pytest.raises(AssertionError, match=r"program '_schur' does not lower for cuda and tpu: NotImplementedError"):
        check_lowers(jax.scipy.linalg.schur, jnp.eye(2))
    with pytest.raises(AssertionError, match="calls no compiled program"):
        check_lowers(lambda: 1)
