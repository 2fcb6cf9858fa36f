"""`check_sampler`: what `genkit.diffusion.sample` promises of every sampler."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.diffusion import EDM, Process, sample
from genkit.testing.oracles import gaussian_denoiser
from genkit.testing.require import Count, Counted, claim, near, require, varied

MEAN, STD, N = np.array([0.7, -1.0]), np.array([0.5, 1.0]), 20_000


def check_sampler(sampler: Any, accuracy: float = 0.05, process: Process = EDM()) -> None:
    """Raise AssertionError unless a sampler keeps its promises.

    Samples have the shape asked for, depend on the key and their slot alone (drawn in parts they are the same, also
    under `vmap`), and on Gaussian data have the right mean and standard deviation. Keys, the denoiser's parameters
    and the sampler's own float options are traced: new ones compile nothing. The network is called `sampler.nfe`
    times, where the sampler states that, and never at level 0.

    Args:
        sampler: of the kind `genkit.kinds.Sampler`.
        accuracy: largest relative error of the standard deviation, and of the mean in units of it, that the
            sampler may have at its number of steps; the error of Monte-Carlo is allowed for beside it.
        process: the Gaussian path on which the sampler works.
    """
    name, key, count = type(sampler).__name__, jax.random.key(0), Count()
    oracle = gaussian_denoiser(MEAN, STD, process=process)

    counted = Counted(oracle, count)

    def draw(
        n: int = 6, key: Any = key, sampler: Any = sampler, denoiser: Any = counted, slots: Any = None
    ) -> jax.Array:
        with claim(f"{name} cannot be sampled"):
            return sample(key, sampler, denoiser, (n, 2), slots=slots)

    x = draw().block_until_ready()
    jax.effects_barrier()
    calls, nfe, traces = len(count.levels), getattr(sampler, "nfe", None), count.traces
    require(x.shape == (6, 2), f"{name} returned samples of shape {x.shape}; (6, 2) was asked for")
    require(x.dtype == jnp.float32, f"{name} returned {x.dtype} from float32 noise; keep the state in float32")
    require(jnp.isfinite(x).all(), f"{name} returned samples that are not finite")
    require(nfe in (None, calls), f"{name} states nfe={nfe} but calls the network {calls} times")
    require(min(count.levels, default=1.0) > 0, f"{name} calls the network at level 0, where x is the answer")
    require(near(draw(), x, 0.0), f"{name} drew other samples with the same key; take all randomness from the keys")
    require(not near(draw(key=jax.random.key(1)), x), f"{name} drew the same samples with another key")
    changes: dict[str, dict[str, Any]] = {
        "a new key": {"key": jax.random.key(1)},
        "new parameters of the denoiser": {"denoiser": varied(counted)},
        "new values of its options": {"sampler": varied(sampler)},
    }
    for what, change in changes.items():
        draw(**change)
        require(count.traces == traces, f"{name} compiles again for {what}; give them to the chain as leaves")

    parts = jnp.concatenate([draw(3, slots=slots) for slots in jnp.arange(6).reshape(2, 3)])
    require(near(parts, x), f"{name} drew other samples in two parts; use one key per particle, no batch statistics")
    keys = jax.random.split(key, 2)
    alone = jnp.stack([draw(3, key=key) for key in keys])
    mapped = jax.vmap(lambda key: sample(key, sampler, oracle, (3, 2)))(keys)
    require(near(mapped, alone), f"{name} drew other samples under vmap than alone")

    x = np.asarray(draw(N, denoiser=oracle), np.float64)
    mean, std = np.abs(x.mean(0) - MEAN) / STD, np.abs(x.std(0) / STD - 1)
    for what, error, noise in (("mean", mean.max(), 4 / N**0.5), ("standard deviation", std.max(), 4 / (2 * N) ** 0.5)):
        require(
            error <= accuracy + noise,
            f"{name} has a {what} off by {error:.3f} on Gaussian data; accuracy={accuracy} is allowed",
        )
