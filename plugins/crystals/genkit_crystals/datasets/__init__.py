"""Data sets of protostructures."""

from genkit_crystals.datasets.aflow_prototypes import AflowPrototypes
from genkit_crystals.datasets.labels_csv import LabelsCSV
from genkit_crystals.datasets.mp20 import MP20
from genkit_crystals.datasets.structures_dir import StructuresDir
from genkit_crystals.datasets.wbm import WBM

__all__ = ["MP20", "WBM", "AflowPrototypes", "LabelsCSV", "StructuresDir"]
