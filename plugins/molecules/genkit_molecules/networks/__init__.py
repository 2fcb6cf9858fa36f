"""Networks on graphs and sequences."""

from genkit_molecules.networks.bytenet import ByteNet
from genkit_molecules.networks.graph_transformer import GraphTransformer
from genkit_molecules.networks.mlp import SequenceMLP
from genkit_molecules.networks.sequence_transformer import SequenceTransformer

__all__ = ["ByteNet", "GraphTransformer", "SequenceMLP", "SequenceTransformer"]
