"""Networks, one a file."""

from genkit_latents.networks.coder import Coder
from genkit_latents.networks.perceptron import Perceptron
from genkit_latents.networks.residual import Residual
from genkit_latents.networks.waves import Waves

__all__ = ["Coder", "Perceptron", "Residual", "Waves"]
