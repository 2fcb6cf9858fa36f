"""Models of the inverse plugin: recipes."""

from genkit_inverse.models.binary_prior import KERNELS, BinaryDiffusion, BinaryPrior, bit_channel
from genkit_inverse.models.image_prior import ImagePrior, loss

__all__ = ["KERNELS", "BinaryDiffusion", "BinaryPrior", "ImagePrior", "bit_channel", "loss"]
