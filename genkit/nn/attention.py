"""Self-attention over the cells of an image."""

import jax
import jax.numpy as jnp
from flax import nnx

from genkit.nn.conv import GroupNorm
from genkit.nn.mlp import linear


class SelfAttention(nnx.Module):
    """Pre-norm multi-head attention over all cells with a residual: x + Linear(attention(GroupNorm(x))).

    `x` (n, h, w, c) with c divisible by `heads`. The scores and their softmax are float32. `init` scales the
    output map; EDM starts it near zero.
    """

    def __init__(self, channels: int, heads: int = 1, *, dtype=jnp.float32, rngs: nnx.Rngs):
        self.heads = heads
        self.norm = GroupNorm(channels, dtype=dtype)
        self.qkv = linear(channels, 3 * channels, dtype=dtype, rngs=rngs)
        self.out = linear(channels, channels, gain=1e-5, dtype=dtype, rngs=rngs)

    def __call__(self, x):
        """Attend."""
        n, h, w, c = x.shape
        qkv = self.qkv(self.norm(x)).reshape(n, h * w, 3, self.heads, c // self.heads)
        q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
        scores = jnp.einsum("nihd,njhd->nhij", q, k, preferred_element_type=jnp.float32)
        weights = jax.nn.softmax(scores * (c // self.heads) ** -0.5, -1).astype(v.dtype)
        mixed = jnp.einsum("nhij,njhd->nihd", weights, v).reshape(n, h, w, c)
        return x + self.out(mixed)
