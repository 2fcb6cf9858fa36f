"""U-Nets of other packages, whose parameters keep the names and the layout of their checkpoints."""

from genkit_inverse.networks.imported.adm import ADM
from genkit_inverse.networks.imported.diffusers import UNet2D
from genkit_inverse.networks.imported.edm import EDMUNet
from genkit_inverse.networks.imported.layers import nested

__all__ = ["ADM", "EDMUNet", "UNet2D", "nested"]
