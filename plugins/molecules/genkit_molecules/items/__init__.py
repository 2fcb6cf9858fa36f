"""What models take and give: rows of sites of molecules and sequences, their sizes, orders and denoisers."""

from genkit_molecules.items.data import Molecules
from genkit_molecules.items.denoisers import GraphDenoiser, GraphLogOdds, Held, HeldDenoiser, real_sites
from genkit_molecules.items.layout import Graphs, Kind, Layout, Space
from genkit_molecules.items.notes import Notes, gathered
from genkit_molecules.items.orders import GraphOrder, Order, name_of, order_named
from genkit_molecules.items.rows import AMINO, GAP, NO, NULL, YES, Rows, Told, some
from genkit_molecules.items.sequence_scores import property_of, scores
from genkit_molecules.items.sequences import ODD, UNIREF50, Sequences, encode, fasta

__all__ = [
    "AMINO",
    "GAP",
    "NO",
    "NULL",
    "ODD",
    "UNIREF50",
    "YES",
    "GraphDenoiser",
    "GraphLogOdds",
    "GraphOrder",
    "Graphs",
    "Held",
    "HeldDenoiser",
    "Kind",
    "Layout",
    "Molecules",
    "Notes",
    "Order",
    "Rows",
    "Sequences",
    "Space",
    "Told",
    "encode",
    "fasta",
    "gathered",
    "name_of",
    "order_named",
    "property_of",
    "real_sites",
    "scores",
    "some",
]
