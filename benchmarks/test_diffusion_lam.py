"""Speed of `weather.diffusion_lam` with its default network: training, sampling, and the sampler's own cost.

Shapes are those of the nature run (32 x 32 cells, 5 variables); values are noise, since speed does not depend on
them. Compilation is timed apart and reported as `compile_seconds`.
"""

import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from genkit.diffusion import EDMDenoiser, Heun, Rho, sample
from genkit.nn import functional
from genkit.train import AdamW, TrainState, make_step
from genkit_weather.experiments.diffusion_lam import DiffusionLAM
from genkit_weather.lam import Batch, Domain, Inputs, condition, diffusion_loss
from genkit_weather.networks.unet import LamUNet

MEMBERS = 48


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    """A small domain with inputs of any number of items, and the default network."""
    from genkit_weather.datasets.qg_nature import QGNature

    data = QGNature.preset("tiny").load()
    domain = Domain.build(data, DiffusionLAM().formulation)
    rng = np.random.default_rng(0)

    def batch(n: int) -> Batch:
        def noise(*shape: int) -> jax.Array:
            return jnp.asarray(rng.standard_normal((n, *shape)), jnp.float32)

        h, w = (size - 2 * f for size, f in zip(data.grid, data.frame, strict=True))
        cells, v = data.grid[0] * data.grid[1] - h * w, len(data.names)
        inputs = Inputs(noise(h, w, v), noise(h, w, v), noise(3, cells, v), noise(1, 1, 3 * len(data.forcing_names)))
        return Batch(inputs, noise(h, w, v))

    network, params = functional(LamUNet().build(nnx.Rngs(0), domain.formulation.sizes(data.layout)))
    return domain, batch, network, params


def compiled(benchmark, f, *args):
    """The compiled function, its compile time noted."""
    start = time.perf_counter()
    program = jax.jit(f).lower(*args).compile()
    benchmark.extra_info["compile_seconds"] = round(time.perf_counter() - start, 2)
    return program


@pytest.mark.benchmark(group="diffusion_lam")
def test_training_step(benchmark, problem):
    """Steps of batch 8: loss, gradient, AdamW, moving average."""
    domain, batch, network, params = problem
    optimizer = AdamW().build(1000)

    def loss(params, aux, batch, key):
        return diffusion_loss(key, domain, EDMDenoiser(network, params, 0.3), batch, Rho()), (aux, {})

    step = make_step(loss, optimizer, ema_half_life=100.0, clip=1.0)
    args = TrainState.create(params, optimizer), batch(8), jax.random.key(0)
    program = compiled(benchmark, step, *args)
    benchmark(lambda: jax.block_until_ready(program(*args)))
    benchmark.extra_info["steps_per_second"] = round(1 / benchmark.stats.stats.median, 2)


@pytest.mark.benchmark(group="diffusion_lam")
def test_sampling(benchmark, problem):
    """One step of an ensemble of 48 by Heun with 20 levels: 39 network calls."""
    domain, batch, network, params = problem
    denoiser, cond = EDMDenoiser(network, params, 0.3), condition(domain, batch(MEMBERS).inputs)
    shape = batch(MEMBERS).truth.shape
    program = compiled(benchmark, lambda k, d, c: sample(k, Heun(), d, shape, c), jax.random.key(0), denoiser, cond)
    benchmark(lambda: jax.block_until_ready(program(jax.random.key(0), denoiser, cond)))
    benchmark.extra_info["member_steps_per_second"] = round(MEMBERS / benchmark.stats.stats.median, 2)


@pytest.mark.benchmark(group="diffusion_lam")
def test_sampler_overhead(benchmark, problem):
    """The same sampling against its 39 network calls alone, in one run; `overhead` is the sampler's own share."""
    domain, batch, network, params = problem
    denoiser, cond = EDMDenoiser(network, params, 0.3), condition(domain, batch(MEMBERS).inputs)
    x = batch(MEMBERS).truth
    levels = jnp.linspace(80.0, 0.03, Heun().nfe)

    def bare(denoiser, cond, x):
        def body(x, level):
            return denoiser.network(denoiser.params, x, jnp.full(MEMBERS, jnp.log(level) / 4), cond), None

        return jax.lax.scan(body, x, levels)[0]

    alone = jax.jit(bare).lower(denoiser, cond, x).compile()
    whole = compiled(benchmark, partial(_sample, x.shape), jax.random.key(0), denoiser, cond)
    rounds = []
    for _ in range(5):  # in turn, so that both see the same machine
        start = time.perf_counter()
        jax.block_until_ready(alone(denoiser, cond, x))
        middle = time.perf_counter()
        jax.block_until_ready(whole(jax.random.key(0), denoiser, cond))
        rounds.append((time.perf_counter() - middle) / (middle - start) - 1)
    benchmark.extra_info["overhead"] = round(float(np.median(rounds)), 4)
    benchmark.pedantic(lambda: jax.block_until_ready(alone(denoiser, cond, x)), rounds=3)


def _sample(shape, key, denoiser, cond):
    return sample(key, Heun(), denoiser, shape, cond)
