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
    batch_norm: bool = False
    """Normalise the hidden features over the batch, as MSN does (arXiv 2204.07141); off in DINO."""

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
        hidden = sizes[1:-1] if config.batch_norm else []
        self.norms = nnx.List([BatchNorm(size) for size in hidden])
        bound = config.bottleneck**-0.5
        shape = (config.prototypes, config.bottleneck)
        self.last = nnx.Param(jax.random.uniform(rngs(), shape, minval=-bound, maxval=bound))
        self.gain = nnx.Param(jnp.ones(config.prototypes)) if free else None

    def __call__(self, x: Any, training: bool = False) -> Any:
        """Products (..., K) of features (..., width) with the prototypes.

        In training a batch norm takes, and keeps, the moments of these features; else it takes those that it has.
        """
        for i, layer in enumerate(self.layers[:-1]):
            x = layer(x)
            if self.norms:
                x = self.norms[i](x, training)
            x = jax.nn.gelu(x, approximate=False)
        return unit(self.layers[-1](x)) @ self.prototypes().T

    def prototypes(self) -> Any:
        """(K, bottleneck)."""
        return unit(self.last[...]) * self.lengths()[:, None]

    def lengths(self) -> Any:
        """(K,): 1, or what is trained."""
        return jnp.ones(self.last.shape[0]) if self.gain is None else self.gain[...]


class BatchNorm(nnx.Module):
    """Batch norm (arXiv 1502.03167) of features (..., width), over all their leading axes and so over all devices."""

    def __init__(self, width: int):
        self.scale, self.shift = nnx.Param(jnp.ones(width)), nnx.Param(jnp.zeros(width))
        self.mean, self.variance = nnx.Param(jnp.zeros(width)), nnx.Param(jnp.ones(width))

    def __call__(self, x: Any, training: bool) -> Any:
        """By the moments of x, which are kept, or by those that were kept."""
        if training:
            axes = tuple(range(x.ndim - 1))
            self.mean[...], self.variance[...] = x.mean(axes), x.var(axes)
        return (x - self.mean[...]) * jax.lax.rsqrt(self.variance[...] + 1e-5) * self.scale[...] + self.shift[...]


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
        return PrototyperModule(self, shape, rngs)


class PrototyperModule(nnx.Module):
    """See `Prototyper`."""

    def __init__(self, config: Prototyper, shape: tuple[int, ...], rngs: nnx.Rngs):
        self.encoder = config.encoder.build(rngs, shape)
        self.head = config.head.build(rngs, self.encoder.width, config.free)
        own = config.patches and not config.shared
        self.patch_head = config.head.build(rngs, self.encoder.width, config.free) if own else None
        self.patches = config.patches

    def __call__(
        self, x: Any, small: Any = None, mask: Any = None, keep: Any = None, key: Any = None, training: bool = False
    ) -> Output:
        """The output of views (V, B, ...) and of small ones (S, B, ...), all through the head at once.

        `mask` (V, B, T), `keep` (V, B, k) and `key` are for the encoder, `mask` and `keep` on the large views alone.
        """
        features, patches = self._encode(x, mask, keep, key)
        products = None
        if self.patches and keep is None:
            products = (self.patch_head or self.head)(patches, training)
        if small is not None:
            key = None if key is None else jax.random.fold_in(key, 1)
            features = jnp.concatenate([features, self._encode(small, None, None, key)[0]])
        return Output(features, self.head(features, training), products)

    def _encode(self, x: Any, mask: Any, keep: Any, key: Any) -> tuple[Any, Any]:
        views, batch = x.shape[:2]
        flat = lambda a: None if a is None else a.reshape(views * batch, *a.shape[2:])  # noqa: E731
        apart = lambda a: None if a is None else a.reshape(views, batch, *a.shape[1:])  # noqa: E731
        features, patches = self.encoder(flat(x), flat(mask), flat(keep), key)
        return apart(features), apart(patches)
