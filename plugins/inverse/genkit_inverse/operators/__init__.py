"""What is measured of images: the usual tasks, and the maps that they and others are made of."""

from genkit_inverse.operators.frequencies import MRI, CompressedSensing, PhaseRetrieval
from genkit_inverse.operators.images import (
    Blur,
    BoxInpainting,
    Colourisation,
    GaussianBlur,
    HalfInpainting,
    Inpainting,
    MotionBlur,
    RandomInpainting,
    SuperResolution,
    Tomography,
)
from genkit_inverse.operators.maps import Convolution, Gram, Kronecker, convolution, gram, kronecker
from genkit_inverse.operators.nonlinear import JPEG, Clipping
from genkit_inverse.operators.task import Task, pictured

__all__ = [
    "JPEG",
    "MRI",
    "Blur",
    "BoxInpainting",
    "Clipping",
    "Colourisation",
    "CompressedSensing",
    "Convolution",
    "GaussianBlur",
    "Gram",
    "HalfInpainting",
    "Inpainting",
    "Kronecker",
    "MotionBlur",
    "PhaseRetrieval",
    "RandomInpainting",
    "SuperResolution",
    "Task",
    "Tomography",
    "convolution",
    "gram",
    "kronecker",
    "pictured",
]
