"""The suite `weather.diffusion_lam`: speed of training and sampling with the default network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genkit.bench import Row, Timed, compiled, sampling
from genkit.diffusion import EDMDenoiser, Heun, Rho
from genkit.nn import Net, functional
from genkit.train import AdamW, TrainState, make_step
from genkit_weather.datasets import QGNature
from genkit_weather.lam import (
    Batch,
    Forecaster,
    Formulation,
    Generator,
    Inputs,
    Sampled,
    condition,
    diffusion_loss,
    domain_of,
)
from genkit_weather.models import CRPSLAM
from genkit_weather.networks import LamUNet


@dataclass(frozen=True)
class Speed:
    """Training steps of batch 8, an ensemble of 48 members, and the same by one pass of the network (CRPS-LAM).

    Shapes are those of the nature run (32 x 32 cells, 5 variables); values are noise, since speed does not depend
    on them.
    """

    def measure(self, profile: str) -> Iterator[Row | Timed]:
        """Compile seconds, steps and member-steps a second, ratios to the network calls alone and to one pass."""
        smoke = profile == "smoke"
        data = QGNature.preset("tiny").load()
        domain = domain_of(data, Formulation())
        unet = LamUNet.preset("tiny") if smoke else LamUNet()
        network, params = functional(unet.build(nnx.Rngs(0), domain.formulation.sizes(data.layout)))
        denoiser = EDMDenoiser(network, params, 0.3)

        optimizer = AdamW().build(1000)

        def loss(params: Any, aux: None, batch: Batch, key: jax.Array) -> Any:
            return diffusion_loss(key, domain, EDMDenoiser(network, params, 0.3), batch, Rho()), (aux, {})

        step = make_step(loss, optimizer, ema_half_life=100.0, clip=1.0)
        args = TrainState.create(params, optimizer), noise(data, 8), jax.random.key(0)
        program, seconds = compiled("training step", step, *args)
        yield seconds
        yield Timed("training step", lambda: program(*args), {"steps/s": 1})

        ensemble = noise(data, 2 if smoke else 48)
        sampler = Heun(steps=3) if smoke else Heun()
        cond = condition(domain, ensemble.inputs)
        yield from sampling("ensemble step", sampler, denoiser, ensemble.truth.shape, cond, "member-steps/s")

        slots, sizes = jnp.arange(len(ensemble.truth)), replace(domain.formulation.sizes(data.layout), latent=32)
        net = Net(CRPSLAM.preset("tiny" if smoke else "default").network, (sizes,))
        single = Generator(net, net.init(jax.random.key(0)), domain, sizes.latent)
        diffusion = Sampled.by(sampler, Forecaster(denoiser, domain))
        advance = jax.jit(lambda model, inputs: model.step(jax.random.key(0), inputs, slots))
        one_pass = "one pass of CRPS-LAM", lambda: advance(single, ensemble.inputs)
        yield Timed(*one_pass, {"member-steps/s": len(slots)})
        yield Timed(f"{sampler.nfe} evaluations", lambda: advance(diffusion, ensemble.inputs), against=one_pass)


def noise(data: Any, n: int) -> Batch:
    """n examples of the shapes of a data set, with values of standard normals."""
    rng = np.random.default_rng(0)
    h, w = (size - 2 * f for size, f in zip(data.grid, data.frame, strict=True))
    cells, v = data.grid[0] * data.grid[1] - h * w, len(data.names)

    def draw(*shape: int) -> jax.Array:
        return jnp.asarray(rng.standard_normal((n, *shape)), jnp.float32)

    inputs = Inputs(draw(h, w, v), draw(h, w, v), draw(3, cells, v), draw(1, 1, 3 * len(data.forcing_names)))
    return Batch(inputs, draw(h, w, v))
