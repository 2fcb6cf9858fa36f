"""Networks on the Wyckoff positions of a crystal."""

from genkit_crystals.networks.wrenformer import (
    Tokens,
    TokenSizes,
    Wrenformer,
    data_folder,
    feature_tables,
    features,
    tokens,
)
from genkit_crystals.networks.wyckoff_gnn import Sizes, WyckoffGNN, silent

__all__ = [
    "Sizes",
    "TokenSizes",
    "Tokens",
    "Wrenformer",
    "WyckoffGNN",
    "data_folder",
    "feature_tables",
    "features",
    "silent",
    "tokens",
]
