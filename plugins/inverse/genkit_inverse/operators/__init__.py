"""What is measured of images: the usual tasks, and the maps that they and others are made of."""

from genkit_inverse.operators.images import (
    BoxInpainting,
    Colourisation,
    GaussianBlur,
    HalfInpainting,
    MotionBlur,
    RandomInpainting,
    SuperResolution,
    Tomography,
)
from genkit_inverse.operators.maps import Convolution, Kronecker, convolution, kronecker

__all__ = [
    "BoxInpainting",
    "Colourisation",
    "Convolution",
    "GaussianBlur",
    "HalfInpainting",
    "Kronecker",
    "MotionBlur",
    "RandomInpainting",
    "SuperResolution",
    "Tomography",
    "convolution",
    "kronecker",
]
