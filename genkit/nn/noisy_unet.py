"""A noise-conditioned U-Net for images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from flax import nnx

from genkit.nn.embedding import ScalarEmbedding
from genkit.nn.unet import UNet


@dataclass(frozen=True)
class NoisyUNet(UNet):
    """The DDPM++ U-Net with its noise embedding, from noisy images to images of the same shape."""

    embedding: int = 128
    """width of the noise embedding"""
    frequencies: Literal["fourier", "positional"] = "fourier"
    """features of the noise level: random Fourier features (NCSN++) or a geometric ladder (DDPM++)"""

    @classmethod
    def preset(cls, name: str) -> NoisyUNet:
        """`tiny`, `default`, or `paper`: the sizes of EDM for CIFAR-10 (arXiv 2206.00364, table 7)."""
        if name == "tiny":
            return cls(base=16, multipliers=(1,), blocks=1, bottleneck_attention=False, embedding=64)
        if name == "paper":
            return cls(base=128, multipliers=(2, 2, 2), blocks=4, attention=(1,), dropout=0.13, embedding=512,
                       frequencies="positional", padding=("zero", "zero"))  # fmt: skip
        return cls()

    def build(self, rngs: nnx.Rngs, shape: tuple[int, int, int]) -> NoisyUNetModule:  # type: ignore[override]
        """A module (x (n, *shape), c_noise (n,), key None) -> (n, *shape), for images of shape (h, w, c)."""
        return NoisyUNetModule(self, shape, rngs)


class NoisyUNetModule(nnx.Module):
    """See `NoisyUNet`."""

    def __init__(self, config: NoisyUNet, shape: tuple[int, int, int], rngs: nnx.Rngs):
        h, w, c = shape
        self.noise = ScalarEmbedding(config.embedding, kind=config.frequencies, scale=1.0, rngs=rngs)
        self.unet = UNet.build(config, rngs, c, c, (h, w), config.embedding)

    def __call__(self, x, c_noise, key=None):
        """Return the raw output F, (n, *shape); a key, which stands where a condition does, switches dropout on."""
        return self.unet(x, self.noise(c_noise), key).astype(x.dtype)
