"""Networks."""

from genkit_inverse.networks.logits import Classifier, LogitUNet

__all__ = ["Classifier", "LogitUNet"]
