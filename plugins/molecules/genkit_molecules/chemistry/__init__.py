"""Molecules as graphs: RDKit at the border, structural features, all small ones."""

from genkit_molecules.chemistry.chem import (
    LARGEST,
    encoded,
    flat,
    from_smiles,
    motif_of,
    parallel,
    quiet,
    sdf_of,
    smiles_of,
    to_graph,
    to_smiles,
)
from genkit_molecules.chemistry.enumerate import copies, enumerate_graphs
from genkit_molecules.chemistry.graphs import (
    BONDS,
    allowed,
    atoms,
    classes,
    pairs,
    places_in,
    relabel,
    sites,
    symbol_and_charge,
)
from genkit_molecules.chemistry.structure import ATOM, GRAPH, features

__all__ = [
    "ATOM",
    "BONDS",
    "GRAPH",
    "LARGEST",
    "allowed",
    "atoms",
    "classes",
    "copies",
    "encoded",
    "enumerate_graphs",
    "features",
    "flat",
    "from_smiles",
    "motif_of",
    "pairs",
    "parallel",
    "places_in",
    "quiet",
    "relabel",
    "sdf_of",
    "sites",
    "smiles_of",
    "symbol_and_charge",
    "to_graph",
    "to_smiles",
]
