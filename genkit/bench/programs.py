"""What suites share: compiling apart from running, and sampling beside its network calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from genkit.bench.rows import Row, Timed
from genkit.diffusion import EDMDenoiser, sample


def compiled(name: str, f: Callable[..., Any], *args: Any) -> tuple[Callable[..., Any], Row]:
    """`f` compiled for these arguments, and the row of the seconds that took."""
    start = time.perf_counter()
    program = jax.jit(f).lower(*args).compile()
    return program, Row(f"{name}, compilation", time.perf_counter() - start, "s")


def sampling(
    name: str, sampler: Any, denoiser: EDMDenoiser, shape: tuple[int, ...], cond: Any = None, unit: str = "samples/s"
) -> Iterator[Row | Timed]:
    """Samples of `shape` (n, ...), timed in turn with the network calls alone.

    The ratio of the two is what the sampler itself costs; 1 is free.
    """
    key = jax.random.key(0)
    levels = jnp.geomspace(80.0, 0.03, sampler.nfe)

    def bare(denoiser: EDMDenoiser, cond: Any, x: jax.Array) -> jax.Array:
        def body(x: jax.Array, level: jax.Array) -> tuple[jax.Array, None]:
            noise = jnp.full(shape[:1], jnp.log(level) / 4)
            return denoiser.network(denoiser.params, x, noise, cond), None

        return jax.lax.scan(body, x, levels)[0]

    x = jax.random.normal(key, shape)
    alone = jax.jit(bare).lower(denoiser, cond, x).compile()
    whole, seconds = compiled(name, lambda k, d, c: sample(k, sampler, d, shape, c), key, denoiser, cond)
    yield seconds
    calls = f"its {sampler.nfe} network calls", lambda: alone(denoiser, cond, x)
    yield Timed(name, lambda: whole(key, denoiser, cond), {unit: shape[0]}, calls)
