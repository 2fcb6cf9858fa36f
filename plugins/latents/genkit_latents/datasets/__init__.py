"""Data sets, one a file."""

from genkit_latents.datasets.digits import MNIST, Digits
from genkit_latents.datasets.events import Events
from genkit_latents.datasets.images import Images
from genkit_latents.datasets.karate import Karate
from genkit_latents.datasets.plane import BOX, Plane, plane
from genkit_latents.datasets.rows import Rows
from genkit_latents.datasets.shapes import Shape
from genkit_latents.datasets.tree import Tree

__all__ = ["BOX", "MNIST", "Digits", "Events", "Images", "Karate", "Plane", "Rows", "Shape", "Tree", "plane"]
