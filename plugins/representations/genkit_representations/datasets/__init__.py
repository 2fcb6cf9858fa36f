"""Data sets, one a file."""

from genkit_representations.datasets.clusters import Clusters
from genkit_representations.datasets.digits import Digits
from genkit_representations.datasets.heldout import HeldOutDigits
from genkit_representations.datasets.normal import Normal

__all__ = ["Clusters", "Digits", "HeldOutDigits", "Normal"]
