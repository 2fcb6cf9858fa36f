"""The network of RDM: a residual perceptron on features, with the time and a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genkit.errors import UsageError
from genkit.nn import Arithmetic, fourier_frequencies, layer_norm, linear, positional_frequencies, sinusoids
from genkit_representations.networks.stack import stack, through


@dataclass(frozen=True)
class FeatureMLP(Arithmetic):
    """Residual perceptron of RCG and RDM (arXiv 2312.03701, 2504.07793)."""

    width: int = 128
    """Hidden features; 1536 published."""
    depth: int = 4
    """Residual blocks; 12 published."""
    embedding: int = 64
    """Numbers of the embedded time and class; 256 published."""
    frequency: float = 3.0
    """Largest one of the embedded time, radians a unit; 999 published, which ties neighbouring levels less."""

    @classmethod
    def preset(cls, name: str) -> FeatureMLP:
        """Presets tiny (CI), default (two cores), paper."""
        if name == "tiny":
            return cls(32, 1, 32)
        return cls(1536, 12, 256, 999.0) if name == "paper" else cls()

    def __post_init__(self) -> None:
        """Check the sizes."""
        if min(self.width, self.depth, self.embedding, self.frequency) <= 0 or self.width % 2 or self.embedding % 2:
            raise UsageError(f"{self}: expected positive sizes, width and embedding even")

    def build(self, rngs: nnx.Rngs, size: int) -> FeatureMLPModule:
        """A module (x (n, size), t (n,), classes (n,) or None) -> (n, size)."""
        return FeatureMLPModule(self, size, rngs)


class FeatureMLPModule(nnx.Module):
    """See `FeatureMLP`. The layers of the class are there in a model without classes too, as published."""

    def __init__(self, config: FeatureMLP, size: int, rngs: nnx.Rngs):
        width, inner = config.width, config.embedding
        self.config = config
        self.first = linear(size, width, rngs=rngs)
        self.time = nnx.List([linear(width, inner, rngs=rngs), linear(inner, inner, rngs=rngs)])
        self.context = nnx.List([linear(inner, inner, rngs=rngs), linear(inner, inner, rngs=rngs)])
        self.blocks = stack(lambda rngs: Block(width, inner, config.numbers, rngs), config.depth, rngs)
        self.norm = nnx.LayerNorm(width, epsilon=1e-6, rngs=rngs)
        self.last = zero(width, size, rngs)

    def __call__(self, x: Any, t: Any, classes: Any = None) -> Any:
        """What the denoiser takes the network for; the time is as the denoiser tells it."""
        features = sinusoids(self.config.frequency * t, positional_frequencies(self.config.width))
        time = jax.nn.silu(_two(self.time, features))
        context = jnp.zeros_like(time)
        seen = classes is not None
        if seen:
            waves = 2 * np.pi * fourier_frequencies(self.config.embedding, 30.0)
            context = jax.nn.silu(_two(self.context, sinusoids(classes, waves)))
        h = self.first(x).astype(self.config.numbers)
        h = through(self.blocks, h, *self._shared(time, context, seen), remat=self.config.remat)
        return self.last(jax.nn.silu(self.norm(h)))  # float32, as the norm's parameters

    def _shared(self, time: Any, context: Any, seen: bool) -> tuple[Any, Any, Any]:
        """The same for all blocks: time, context, and whether there is one."""
        depth = self.config.depth
        repeat = lambda a: jnp.broadcast_to(a, (depth, *a.shape))  # noqa: E731
        return repeat(time), repeat(context), jnp.full((depth,), float(seen))


class Block(nnx.Module):
    """Two linear layers after norms; time and class come in between."""

    def __init__(self, width: int, inner: int, dtype: Any, rngs: nnx.Rngs):
        options: Any = {"dtype": dtype, "rngs": rngs}
        self.scales, self.shifts = nnx.Param(jnp.ones((2, width))), nnx.Param(jnp.zeros((2, width)))
        self.inward, self.outward = linear(width, width, **options), zero(width, width, rngs, dtype)
        self.time, self.context = linear(inner, width, **options), linear(inner, width, **options)

    def __call__(self, x: Any, time: Any, context: Any, seen: Any) -> Any:
        """x (n, width) and what is added to it."""
        h = self.inward(jax.nn.silu(self._norm(x, 0)))
        h = h + self.time(time) + seen.astype(h.dtype) * self.context(context)
        return x + self.outward(jax.nn.silu(self._norm(h, 1)))

    def _norm(self, x: Any, i: int) -> Any:
        return layer_norm(x) * self.scales[i].astype(x.dtype) + self.shifts[i].astype(x.dtype)


def zero(inputs: int, outputs: int, rngs: nnx.Rngs, dtype: Any = jnp.float32) -> nnx.Linear:
    """A linear layer that starts at 0."""
    return nnx.Linear(inputs, outputs, kernel_init=nnx.initializers.zeros, dtype=dtype, rngs=rngs)


def _two(layers: Any, x: Any) -> Any:
    return layers[1](jax.nn.silu(layers[0](x)))
