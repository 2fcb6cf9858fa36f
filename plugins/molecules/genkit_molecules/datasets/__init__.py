"""Data sets of molecules and sequences."""

from genkit_molecules.datasets.lattice import Lattice
from genkit_molecules.datasets.proteins import records
from genkit_molecules.datasets.solvable import HiddenMarkov

__all__ = ["HiddenMarkov", "Lattice", "records"]
