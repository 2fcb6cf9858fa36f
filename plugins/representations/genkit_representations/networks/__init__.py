"""Networks, one a file; weights of vision transformers from elsewhere."""

from genkit_representations.networks.encoders import CNN, MLPEncoder
from genkit_representations.networks.feature_mlp import FeatureMLP
from genkit_representations.networks.head import Head, Prototyper
from genkit_representations.networks.import_vit import import_vit, read_vit
from genkit_representations.networks.vit import ViT

__all__ = ["CNN", "FeatureMLP", "Head", "MLPEncoder", "Prototyper", "ViT", "import_vit", "read_vit"]
