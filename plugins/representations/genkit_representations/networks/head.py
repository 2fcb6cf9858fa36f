"""The head of DINO: from features to products with prototypes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from genkit.errors import UsageError
from genkit.kinds import Network
from genkit_representations.networks.vit import NORMAL
from genkit_representations.prototypes import Output, unit


@dataclass(frozen=True)
class Head:
    """Perceptron, normalisation, prototypes (DINO, arXiv 2104.14294)."""

    prototypes: int = 65536
    """Their number K."""
    hidden: int = 2048
    """Width of the perceptron."""
    layers: int = 3
    """Of the perceptron."""
    bottleneck: int = 256
    """Numbers of a prototype."""

    def __post_init__(self) -> None:
        """Check the sizes."""
        if self.prototypes < 2 or min(self.hidden, self.layers, self.bottleneck) < 1:
            raise UsageError(f"{self}: expected at least two prototypes and positive sizes")

    def build(self, rngs: nnx.Rngs, width: int, free: bool = False) -> HeadModule:
        """The module for features (..., width); `free` trains the lengths of the prototypes."""
        return HeadModule(self, width, free, rngs)


class HeadModule(nnx.Module):
    """See `Head`.

    The last layer keeps the uniform start of torch's linear layers, +-1 / sqrt(bottleneck), of which only the direction
    counts; its gain is 1.
    """

    def __init__(self, config: Head, width: int, free: bool, rngs: nnx.Rngs):
        sizes = [width] + [config.hidden] * (config.layers - 1) + [config.bottleneck]
        self.layers = nnx.List(
            [nnx.Linear(a, b, kernel_init=NORMAL, rngs=rngs) for a, b in zip(sizes, sizes[1:], strict=False)]
        )
        bound = config.bottleneck**-0.5
        shape = (config.prototypes, config.bottleneck)
        self.last = nnx.Param(jax.random.uniform(rngs(), shape, minval=-bound, maxval=bound))
        self.gain = nnx.Param(jnp.ones(config.prototypes)) if free else None

    def __call__(self, x: Any) -> Any:
        """Products (..., K) of features (..., width) with the prototypes."""
        for layer in self.layers[:-1]:
            x = jax.nn.gelu(layer(x), approximate=False)
        return unit(self.layers[-1](x)) @ self.prototypes().T

    def prototypes(self) -> Any:
        """(K, bottleneck)."""
        return unit(self.last[...]) * self.lengths()[:, None]

    def lengths(self) -> Any:
        """(K,): 1, or what is trained."""
        return jnp.ones(self.last.shape[0]) if self.gain is None else self.gain[...]


@dataclass(frozen=True)
class Prototyper:
    """An encoder with a head on its features, and with one on its patches where they count."""

    encoder: Network[tuple[int, ...]]
    """The encoder."""
    head: Head
    """Its head."""
    free: bool = False
    """Whether lengths of prototypes are trained."""
    patches: bool = False
    """Whether patches have products too."""
    shared: bool = True
    """Whether by the same head, as in iBOT's recipes for ImageNet."""

    def build(self, rngs: nnx.Rngs, shape: tuple[int, ...]) -> PrototyperModule:
        """The module for samples of a shape."""
        if self.patches and not hasattr(self.encoder, "patches"):
            raise UsageError(f"masked patches need an encoder that has some; {type(self.encoder).__name__} has none")
        return PrototyperModule(self, shape, rngs)


class PrototyperModule(nnx.Module):
    """See `Prototyper`."""

    def __init__(self, config: Prototyper, shape: tuple[int, ...], rngs: nnx.Rngs):
        self.encoder = config.encoder.build(rngs, shape)
        self.head = config.head.build(rngs, self.encoder.width, config.free)
        own = config.patches and not config.shared
        self.patch_head = config.head.build(rngs, self.encoder.width, config.free) if own else None
        self.patches = config.patches

    def __call__(self, x: Any, mask: Any = None, keep: Any = None, key: Any = None) -> Output:
        """The output of views (V, B, ...); `mask` (V, B, T) and `keep` (V, B, k) as for the encoder."""
        views, batch = x.shape[:2]
        flat = lambda a: None if a is None else a.reshape(views * batch, *a.shape[2:])  # noqa: E731
        apart = lambda a: a.reshape(views, batch, *a.shape[1:])  # noqa: E731
        features, patches = self.encoder(flat(x), flat(mask), flat(keep), key)
        products = None
        if self.patches and keep is None:
            products = apart((self.patch_head or self.head)(patches))
        return Output(apart(features), apart(self.head(features)), products)
