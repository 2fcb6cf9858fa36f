"""Dense layers: linear map, perceptron, layer norm whose scale and shift come from an embedding."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.core import Tracer


def xavier_uniform(gain: float = 1.0):
    """Xavier-uniform initialiser (Glorot and Bengio 2010) times `gain`, for dense and convolution kernels.

    Outside a trace the numbers come from numpy, seeded by the key: a big network then starts without compiling
    one random generator for each shape.
    """
    traced = nnx.initializers.variance_scaling(gain**2, "fan_avg", "uniform")

    def draw(key, shape, dtype=jnp.float32, out_sharding=None):
        if isinstance(key, Tracer):
            return traced(key, shape, dtype)
        field = int(np.prod(shape[:-2]))
        bound = gain * (6 / (field * (shape[-2] + shape[-1]))) ** 0.5
        generator = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
        return jnp.asarray(generator.uniform(-bound, bound, shape), dtype)

    return draw


def linear(inputs: int, outputs: int, *, gain: float = 1.0, dtype=jnp.float32, rngs: nnx.Rngs) -> nnx.Linear:
    """Dense layer with Xavier-uniform weights times `gain` and float32 parameters, computing in `dtype`."""
    return nnx.Linear(inputs, outputs, kernel_init=xavier_uniform(gain), dtype=dtype, rngs=rngs)


def layer_norm(x, eps: float = 1e-6):
    """Normalise the last axis to mean 0 and variance 1 (Ba et al. 2016) in float32, without parameters."""
    x32 = x.astype(jnp.float32)
    x32 = x32 - x32.mean(-1, keepdims=True)
    return (x32 * jax.lax.rsqrt(jnp.square(x32).mean(-1, keepdims=True) + eps)).astype(x.dtype)


class MLP(nnx.Module):
    """Perceptron (..., widths[0]) -> (..., widths[-1]) with SiLU between the layers."""

    def __init__(self, widths: tuple[int, ...], *, dtype=jnp.float32, rngs: nnx.Rngs):
        self.layers = nnx.List([linear(a, b, dtype=dtype, rngs=rngs) for a, b in zip(widths, widths[1:], strict=False)])

    def __call__(self, x):
        """Apply the layers."""
        for layer in self.layers[:-1]:
            x = jax.nn.silu(layer(x))
        return self.layers[-1](x)


class ConditionalNorm(nnx.Module):
    """Layer norm without own affine, times Linear(emb), plus Linear(emb).

    The scale is the linear map itself, not one plus it, as in Diffusion-LAM (Larsson et al. 2025); its bias
    starts at 1 so that the features pass at the start. `x` (n, ..., c), `emb` (n or 1, e).
    """

    def __init__(self, channels: int, embedding: int, *, dtype=jnp.float32, rngs: nnx.Rngs):
        self.affine = linear(embedding, 2 * channels, dtype=dtype, rngs=rngs)
        bias = jnp.concatenate([jnp.ones(channels), jnp.zeros(channels)])
        self.affine.bias = nnx.Param(bias)

    def __call__(self, x, emb):
        """Normalise `x` and modulate it."""
        scale, shift = jnp.split(self.affine(emb), 2, -1)
        shape = (scale.shape[0],) + (1,) * (x.ndim - 2) + (x.shape[-1],)
        return layer_norm(x) * scale.reshape(shape) + shift.reshape(shape)
