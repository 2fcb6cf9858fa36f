"""Models of the inverse plugin: recipes."""

from genkit_inverse.models.binary_prior import KERNELS, BinaryDiffusion, BinaryPrior, bit_channel
from genkit_inverse.models.image_diffusion import ImageDiffusion, Restore
from genkit_inverse.models.image_prior import ImagePrior, loss
from genkit_inverse.models.pdds import LearnedPDDS, PDDSPotential
from genkit_inverse.models.windowed import Windowed

__all__ = [
    "KERNELS",
    "BinaryDiffusion",
    "BinaryPrior",
    "ImageDiffusion",
    "ImagePrior",
    "LearnedPDDS",
    "PDDSPotential",
    "Restore",
    "Windowed",
    "bit_channel",
    "loss",
]
