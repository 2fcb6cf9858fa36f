"""Data sets of molecules and sequences."""

from genkit_molecules.datasets.lattice import Lattice
from genkit_molecules.datasets.proteins import Fasta, SteroidIsomerase
from genkit_molecules.datasets.smiles import MOSES, QM9, QM9H, QM9Small, Smiles, ZINC250k
from genkit_molecules.datasets.solvable import HiddenMarkov, Potts, Table

__all__ = [
    "MOSES",
    "QM9",
    "QM9H",
    "Fasta",
    "HiddenMarkov",
    "Lattice",
    "Potts",
    "QM9Small",
    "Smiles",
    "SteroidIsomerase",
    "Table",
    "ZINC250k",
]
