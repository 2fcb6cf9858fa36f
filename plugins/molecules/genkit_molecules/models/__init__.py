"""What is learned: recipes of generators and of their critics, and what they give."""

from genkit_molecules.models.draw import Method, drawn, in_two
from genkit_molecules.models.graphs import DiGress, GraphARDM
from genkit_molecules.models.guided import Corrected, Steered, SteeredMolecules, SteeredSequences
from genkit_molecules.models.lattice import Factorised, Half, Learned, conditionals, tabulated
from genkit_molecules.models.recipe import TESTED, inputs, tested
from genkit_molecules.models.sequences import (
    Absorbing,
    Blosum,
    Euler,
    Flow,
    Marginal,
    Masked,
    Remasked,
    SequenceARDM,
    Uniform,
)
from genkit_molecules.models.trained import Generator, Guided

__all__ = [
    "TESTED",
    "Absorbing",
    "Blosum",
    "Corrected",
    "DiGress",
    "Euler",
    "Factorised",
    "Flow",
    "Generator",
    "GraphARDM",
    "Guided",
    "Half",
    "Learned",
    "Marginal",
    "Masked",
    "Method",
    "Remasked",
    "SequenceARDM",
    "Steered",
    "SteeredMolecules",
    "SteeredSequences",
    "Uniform",
    "conditionals",
    "drawn",
    "in_two",
    "inputs",
    "tabulated",
    "tested",
]
