"""The network of a learned potential of PDDS."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genkit.errors import UsageError
from genkit.nn import linear


@dataclass(frozen=True)
class PotentialSizes:
    """What a potential is built for; a class of its own, as networks of vectors are called in another way."""

    dim: int
    """numbers of a state"""


@dataclass(frozen=True)
class PotentialMLP:
    """Phillips et al. 2024 (arXiv 2402.06320): a perceptron of state and noise, and how far it is trusted."""

    width: int = 64
    """Hidden features."""
    features: int = 64
    """Frequencies by which it sees the noise."""

    def __post_init__(self) -> None:
        """Check the sizes."""
        if self.width < 1 or self.features < 1:
            raise UsageError(f"width={self.width}, features={self.features}; expected at least 1")

    def build(self, rngs: nnx.Rngs, sizes: PotentialSizes) -> PotentialModule:
        """A module (x (n, dim), lam (n or 1,)) -> (trust (n or 1,), output (n, dim)); both are zero at first."""
        return PotentialModule(self, sizes.dim, rngs)


class PotentialModule(nnx.Module):
    """See `PotentialMLP`. The trust is h(lam) - h(0), so that it is 0 without noise."""

    def __init__(self, config: PotentialMLP, dim: int, rngs: nnx.Rngs):
        width = config.width
        self.features = config.features
        self.phase = nnx.Param(jnp.zeros(config.features))
        self.encoder = nnx.List([linear(2 * config.features, width, rngs=rngs), linear(width, width, rngs=rngs)])
        sizes = [2 * config.features, width, width, width]
        self.trust = nnx.List([linear(a, b, rngs=rngs) for a, b in zip(sizes, sizes[1:], strict=False)])
        self.trust_last = linear(width, 1, gain=0.0, rngs=rngs)
        self.hidden = nnx.List([linear(dim + width, width, rngs=rngs), linear(width, width, rngs=rngs)])
        self.last = linear(width, dim, gain=0.0, rngs=rngs)

    def __call__(self, x, lam):
        """(trust, output)."""
        seen = self._waves(lam)
        both = self._trust(jnp.concatenate([seen, self._waves(jnp.zeros(1))]))
        first, second = self.encoder
        emb = second(jax.nn.gelu(first(seen)))
        h = jnp.concatenate([x, jnp.broadcast_to(emb, (len(x), emb.shape[-1]))], -1)
        for layer in self.hidden:
            h = jax.nn.gelu(layer(h))
        return both[:-1] - both[-1], self.last(h)

    def _waves(self, lam):
        angle = np.linspace(0.1, 100, self.features, dtype=np.float32) * lam[:, None] + self.phase[...]
        return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], -1)

    def _trust(self, h):
        for layer in self.trust:
            h = jax.nn.gelu(layer(h))
        return self.trust_last(h)[:, 0]
