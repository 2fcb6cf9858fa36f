"""Data sets, one a file."""

from genkit_latents.datasets.digits import MNIST, Digits
from genkit_latents.datasets.events import Events
from genkit_latents.datasets.karate import Karate
from genkit_latents.datasets.shapes import Shape
from genkit_latents.datasets.tree import Tree

__all__ = ["MNIST", "Digits", "Events", "Karate", "Shape", "Tree"]
