"""Networks on graphs and sequences."""

from genkit_molecules.networks.bytenet import ByteNet
from genkit_molecules.networks.graph_transformer import GraphTransformer

__all__ = ["ByteNet", "GraphTransformer"]
