"""Networks that several plugins use. Images are (n, h, w, c); modules are flax NNX; see `functional`."""

from genkit.nn.arithmetic import Arithmetic
from genkit.nn.attention import SelfAttention
from genkit.nn.conv import (
    Conv,
    GroupNorm,
    Padding,
    convolve,
    depth_to_space,
    downsample,
    pad_replicate,
    space_to_depth,
    upsample,
)
from genkit.nn.embedding import ScalarEmbedding, fourier_frequencies, positional_frequencies, sinusoids
from genkit.nn.functional import (
    Apply,
    Net,
    abstract,
    dropout,
    functional,
    parameter_count,
    shapes_of,
    traced_rngs,
    transfer,
)
from genkit.nn.mlp import MLP, ConditionalNorm, layer_norm, linear, xavier_uniform
from genkit.nn.noisy_mlp import NoisyMLP
from genkit.nn.noisy_unet import NoisyUNet
from genkit.nn.unet import ResidualBlock, UNet, UNetModule, activation_bytes, level_sizes

__all__ = [
    "MLP",
    "Apply",
    "Arithmetic",
    "ConditionalNorm",
    "Conv",
    "GroupNorm",
    "Net",
    "NoisyMLP",
    "NoisyUNet",
    "Padding",
    "ResidualBlock",
    "ScalarEmbedding",
    "SelfAttention",
    "UNet",
    "UNetModule",
    "abstract",
    "activation_bytes",
    "convolve",
    "depth_to_space",
    "downsample",
    "dropout",
    "fourier_frequencies",
    "functional",
    "layer_norm",
    "level_sizes",
    "linear",
    "pad_replicate",
    "parameter_count",
    "positional_frequencies",
    "shapes_of",
    "sinusoids",
    "space_to_depth",
    "traced_rngs",
    "transfer",
    "upsample",
    "xavier_uniform",
]
