"""Encoder and decoder of an autoencoder whose latent space is a manifold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genkit.errors import UsageError
from genkit.nn import linear
from genkit_latents import safe
from genkit_latents.geometry.manifolds import ConstantCurvature, Euclidean, Manifold, PoincareBall, Product, Sphere

Array = jax.Array
ACTIVATIONS: dict[str, Callable] = {
    "tanh": jnp.tanh,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "relu": jax.nn.relu,
}


@dataclass(frozen=True)
class Coder:
    """Perceptrons from data to a point of the latent manifold with deviations, and back."""

    hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers of the encoder; the decoder has them in reverse order."""
    activation: Literal["tanh", "silu", "softplus", "relu"] = "silu"
    """Smooth ones have a pull-back metric with curvature; relu has none."""
    decoder: Literal["mlp", "gyroplane", "mobius"] = "mlp"
    """First layer of the decoder: dense on the coordinates at the origin; or on the Poincare ball distances to
    hyperplanes, or a Mobius layer (both Ganea et al. 2018)."""
    apart: bool = False
    """Means and deviations, of codes and of data, each from a network of their own."""

    def build(self, rngs: nnx.Rngs, manifold: Manifold, inputs: int, outputs: int) -> CoderModule:
        """A module for rows of `inputs` numbers whose decoder gives `outputs`."""
        if not self.hidden or min(self.hidden) < 1:
            raise UsageError(f"hidden={self.hidden}; expected at least one width")
        if self.decoder != "mlp" and not isinstance(manifold, PoincareBall):
            raise UsageError(f"a {self.decoder} layer needs the Poincare ball, not {type(manifold).__name__}")
        return CoderModule(self, manifold, inputs, outputs, rngs)


class CoderModule(nnx.Module):
    """See `Coder`; called with the manifold, whose curvature may be learned."""

    def __init__(self, config: Coder, manifold: Manifold, inputs: int, outputs: int, rngs: nnx.Rngs):
        widths, apart = config.hidden, config.apart
        self.activation = config.activation
        self.encoder = _networks((inputs, *widths), (raw_size(manifold), manifold.dim), apart, rngs)
        means_and_rest = (inputs, outputs - inputs) if outputs > inputs else (outputs,)
        if config.decoder == "mlp":
            self.first = None
            self.decoder = _networks((raw_size(manifold), *widths[::-1]), means_and_rest, apart, rngs)
        else:
            kind = Gyroplanes if config.decoder == "gyroplane" else Mobius
            self.first = kind(manifold.dim, widths[-1], rngs)
            self.decoder = _networks(widths[::-1], means_and_rest, apart, rngs)

    def __call__(self, part: Literal["encode", "decode"], manifold: Any, x: Array) -> Any:
        """encode: rows (n, inputs) -> points (n, *shape), deviations (n, dim); decode: a point -> (outputs,)."""
        act = ACTIVATIONS[self.activation]
        if part == "encode":
            raw = _apply(self.encoder, x, act)
            point, raw_std = jnp.split(raw, [raw_size(manifold)], -1)
            return place(manifold, point), jax.nn.softplus(raw_std - 1) + 1e-4
        if self.first is not None:
            return _apply(self.decoder, act(self.first(manifold, x)), act)
        return _apply(self.decoder, features(manifold, x), act)


def _networks(widths: tuple[int, ...], outputs: tuple[int, ...], apart: bool, rngs: nnx.Rngs) -> nnx.List:
    """A perceptron for all outputs, or one for each group of them."""
    return nnx.List([_layers((*widths, n), rngs) for n in (outputs if apart else (sum(outputs),))])


def _layers(widths: tuple[int, ...], rngs: nnx.Rngs) -> nnx.List:
    return nnx.List([linear(a, b, rngs=rngs) for a, b in zip(widths, widths[1:], strict=False)])


def _apply(networks: Any, x: Array, act: Callable) -> Array:
    return jnp.concatenate([_perceptron(list(layers), x, act) for layers in networks], -1)


def _perceptron(layers: list[Any], x: Array, act: Callable) -> Array:
    for layer in layers[:-1]:
        x = act(layer(x))
    return layers[-1](x)


class Gyroplanes(nnx.Module):
    """Signed distances to hyperplanes of the ball: sign(<a, m>) |a| d(z, H), m = -p + z (Ganea et al. 2018).

    p = exp_0(w b), a = transport of w to p, as in the code of Mathieu et al. 2019 with weight_norm.
    """

    def __init__(self, dim: int, planes: int, rngs: nnx.Rngs):
        self.weight = nnx.Param(jax.random.normal(rngs.params(), (planes, dim)) / dim**0.5)
        self.bias = nnx.Param(jnp.zeros((planes, 1)))

    def __call__(self, manifold: Any, z: Array) -> Array:
        """(dim,) -> (planes,)."""
        zero, w = jnp.zeros(z.shape[-1], z.dtype), self.weight[...]
        p = manifold.exp(zero, w * self.bias[...])
        a = manifold.transport(zero, p, w)
        m, c = manifold.add(-p, z), jnp.asarray(-manifold.kappa, z.dtype)
        size = safe.norm(a)
        height = jnp.maximum(1 - c * jnp.square(m).sum(-1), 1e-6)
        u = 2 * jnp.sqrt(c) * (m * a).sum(-1) / (height * jnp.maximum(size, 1e-12))
        lengths = manifold.norm(p, a)
        return lengths * jnp.arcsinh(u) / jnp.sqrt(c)


class Mobius(nnx.Module):
    """log_0(M z + b) with M z = exp_0(M log_0 z) and the Mobius sum with the point b (Ganea et al. 2018, section 3.2).

    Without b it is linear in log_0 z. Points and sums are of the ball of as many dimensions as there are outputs.
    """

    def __init__(self, dim: int, outputs: int, rngs: nnx.Rngs):
        # |M v| is about |v|: the ball's border is as far away in every dimension
        self.weight = nnx.Param(jax.random.normal(rngs.params(), (outputs, dim)) / outputs**0.5)
        self.bias = nnx.Param(jnp.zeros(outputs))

    def __call__(self, manifold: Any, z: Array) -> Array:
        """(dim,) -> (outputs,), the components at the origin."""
        wide = PoincareBall(len(self.bias), -manifold.kappa)
        zero = jnp.zeros(len(self.bias), z.dtype)
        turned = wide.exp(zero, self.weight[...] @ manifold.log(jnp.zeros_like(z), z))
        moved = wide.project(wide.add(turned, wide.exp(zero, self.bias[...])))
        return features(wide, moved)


def place(manifold: Any, raw: Array) -> Array:
    """A point from the output (..., raw_size) of a network: projected onto spheres, exp at the origin elsewhere."""
    if isinstance(manifold, Product):
        ends = np.cumsum([raw_size(f) for f in manifold.factors])[:-1]
        parts = jnp.split(raw, ends, -1)
        return manifold.join([place(f, part) for f, part in zip(manifold.factors, parts, strict=True)])
    if isinstance(manifold, Sphere):
        return manifold.project(raw)
    if isinstance(manifold, Euclidean):
        return raw
    origin = manifold.origin.astype(raw.dtype)
    return manifold.exp(origin, jnp.tensordot(raw, manifold.frame(origin), 1))


def features(manifold: Any, z: Array) -> Array:
    """What a decoder sees of a point: its logarithm at the origin; the point itself on spheres and in flat space."""
    if isinstance(manifold, Product):
        return jnp.concatenate([features(f, p) for f, p in zip(manifold.factors, manifold.split(z), strict=True)])
    if isinstance(manifold, (Sphere, Euclidean)):
        return z
    origin = manifold.origin.astype(z.dtype)
    v = manifold.log(origin, z)
    return 2 * v if isinstance(manifold, ConstantCurvature) else manifold.components(origin, v)


def raw_size(manifold: Any) -> int:
    """Numbers that `place` takes and `features` gives."""
    if isinstance(manifold, Product):
        return sum(raw_size(f) for f in manifold.factors)
    return manifold.size if isinstance(manifold, Sphere) else manifold.dim
