"""Networks."""

from genkit_inverse.networks.logits import Classifier, LogitUNet
from genkit_inverse.networks.potential import PotentialMLP, PotentialSizes

__all__ = ["Classifier", "LogitUNet", "PotentialMLP", "PotentialSizes"]
