"""Data sets of images."""

from genkit_inverse.datasets.binary import BinaryDigits
from genkit_inverse.datasets.digits import Digits
from genkit_inverse.datasets.gaussian_patches import GaussianPatches
from genkit_inverse.datasets.images import Folder
from genkit_inverse.datasets.mnist import MNIST
from genkit_inverse.datasets.pines import Pines

__all__ = ["MNIST", "BinaryDigits", "Digits", "Folder", "GaussianPatches", "Pines"]
