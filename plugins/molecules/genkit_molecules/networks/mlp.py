"""A perceptron on a few tokens."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx

from genkit.errors import UsageError
from genkit.nn import MLP, positional_frequencies, sinusoids
from genkit_molecules.networks.heads import TIME, SequenceNetwork


@dataclass(frozen=True)
class SequenceMLP(SequenceNetwork):
    """A perceptron that sees all sites at once, for laws of a few tokens whose exact figures are known."""

    layers: int = 2
    """Hidden layers."""
    width: int = 256
    """Features of each."""
    sites: int = 32
    """The most sites of a row; shorter rows are filled up."""
    time: bool = False
    """Tell the network the time, or the fraction that is hidden."""

    @classmethod
    def preset(cls, name: str) -> SequenceMLP:
        """Presets tiny, and default, which is also paper."""
        return cls(1, 16, 8) if name == "tiny" else cls()

    def __post_init__(self) -> None:
        """Check the sizes."""
        for name in ("layers", "width", "sites"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")

    @property
    def module(self) -> type[SequenceMLPModule]:
        """See the base."""
        return SequenceMLPModule


class SequenceMLPModule(nnx.Module):
    """See `SequenceMLP`."""

    def __init__(self, c: SequenceMLP, rngs: nnx.Rngs, classes: int, head: str, outputs: int, conditions: int):
        self.config, self.classes, self.whole = c, classes, head == "discriminator"
        first = c.sites * (classes + 1) + TIME * c.time + conditions
        last = outputs if self.whole else c.sites * classes
        self.net = MLP((first, *(c.width,) * c.layers, last), dtype=c.numbers, rngs=rngs)

    def __call__(self, x, t, mask=None, cond=None, key=None):
        """Logits, or numbers of the sequence."""
        (b, sites), c = x.shape, self.config
        if sites > c.sites:
            raise UsageError(f"rows of {sites} sites for a perceptron of {c.sites}; give network.sites={sites}")
        hot = jax.nn.one_hot(x, self.classes + 1)
        hot = hot if mask is None else jnp.where(mask[..., None], hot, 0)
        given = [jnp.pad(hot, ((0, 0), (0, c.sites - sites), (0, 0))).reshape(b, -1)]
        if c.time:
            given.append(sinusoids(100 * jnp.broadcast_to(t, (b,)), positional_frequencies(TIME)))
        out = c.through(self.net, jnp.concatenate([*given, *([] if cond is None else [cond])], -1)).astype(jnp.float32)
        return out if self.whole else out.reshape(b, c.sites, self.classes)[:, :sites]
