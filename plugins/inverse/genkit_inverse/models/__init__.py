"""Models of the inverse plugin: recipes."""

from genkit_inverse.models.binary_prior import KERNELS, BinaryDiffusion, BinaryPrior, bit_channel
from genkit_inverse.models.image_diffusion import ImageDiffusion, Restore
from genkit_inverse.models.image_prior import ImagePrior, loss
from genkit_inverse.models.pdds import LearnedPDDS, PDDSPotential

__all__ = [
    "KERNELS",
    "BinaryDiffusion",
    "BinaryPrior",
    "ImageDiffusion",
    "ImagePrior",
    "LearnedPDDS",
    "PDDSPotential",
    "Restore",
    "bit_channel",
    "loss",
]
