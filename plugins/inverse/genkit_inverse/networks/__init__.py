"""Networks."""

from genkit_inverse.networks.logits import Classifier, LogitUNet
from genkit_inverse.networks.potential import PotentialMLP

__all__ = ["Classifier", "LogitUNet", "PotentialMLP"]
