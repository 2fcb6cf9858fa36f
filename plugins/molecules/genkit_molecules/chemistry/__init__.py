"""Molecules as graphs: RDKit at the border, files, structural features, all small ones."""

from genkit_molecules.chemistry.chem import parallel, quiet, sdf_of, smiles_of
from genkit_molecules.chemistry.enumerate import copies, enumerate_graphs
from genkit_molecules.chemistry.graphs import BONDS, VALENCE, allowed, atoms, classes, pairs, places_in, relabel, sites
from genkit_molecules.chemistry.reading import Rules, by_size, column, read, table_of_qm9
from genkit_molecules.chemistry.structure import ATOM, GRAPH, features

__all__ = [
    "ATOM",
    "BONDS",
    "GRAPH",
    "VALENCE",
    "Rules",
    "allowed",
    "atoms",
    "by_size",
    "classes",
    "column",
    "copies",
    "enumerate_graphs",
    "features",
    "pairs",
    "parallel",
    "places_in",
    "quiet",
    "read",
    "relabel",
    "sdf_of",
    "sites",
    "smiles_of",
    "table_of_qm9",
]
