"""Data sets, one a file."""

from genkit_latents.datasets.digits import Digits
from genkit_latents.datasets.events import Events
from genkit_latents.datasets.shapes import Shape
from genkit_latents.datasets.tree import Tree

__all__ = ["Digits", "Events", "Shape", "Tree"]
