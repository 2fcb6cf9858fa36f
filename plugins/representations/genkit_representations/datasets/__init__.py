"""Data sets, one a file."""

from genkit_representations.datasets.clusters import Clusters
from genkit_representations.datasets.digits import MNIST, Digits
from genkit_representations.datasets.heldout import Features, HeldOutDigits
from genkit_representations.datasets.normal import Normal

__all__ = ["MNIST", "Clusters", "Digits", "Features", "HeldOutDigits", "Normal"]
