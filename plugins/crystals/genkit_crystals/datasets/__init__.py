"""Data sets of protostructures."""

from genkit_crystals.datasets.aflow_prototypes import AflowPrototypes
from genkit_crystals.datasets.wbm import WBM

__all__ = ["WBM", "AflowPrototypes"]
