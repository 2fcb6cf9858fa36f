"""The suite `core.samplers`: what each sampler costs above its network calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from genkit.bench.programs import sampling
from genkit.bench.rows import Row, Timed
from genkit.diffusion import Ancestral, DPMpp2S, DPMpp3M, EDMDenoiser, Euler, Heun
from genkit.nn import NoisyMLP, functional

# One of each kind: one call a step, two, with history, with noise.
SAMPLERS = (Euler, Heun, DPMpp2S, DPMpp3M, Ancestral)


@dataclass(frozen=True)
class Samplers:
    """Samples of 64 numbers from a perceptron of width 256, at a batch of 512."""

    def measure(self, profile: str) -> Iterator[Row | Timed]:
        """Compile seconds, samples a second and the ratio to the network calls alone, for each sampler."""
        from flax import nnx

        n = 8 if profile == "smoke" else 512
        denoiser = EDMDenoiser(*functional(NoisyMLP(width=256).build(nnx.Rngs(0), 64)))
        for sampler in SAMPLERS:
            yield from sampling(sampler.__name__, sampler(), denoiser, (n, 64))
