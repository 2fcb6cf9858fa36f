"""Networks, one a file; weights of vision transformers from elsewhere."""

from genkit_representations.networks.import_vit import import_vit, read_vit

__all__ = ["import_vit", "read_vit"]
