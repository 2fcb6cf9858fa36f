"""Recipes and what they train."""

from genkit_representations.models.density import FeatureDensity, Integrator
from genkit_representations.models.distillation import Distillation, ImageDistillation
from genkit_representations.models.distilled import Distilled
from genkit_representations.models.rdm import RDM, linear_classifier

__all__ = ["RDM", "Distillation", "Distilled", "FeatureDensity", "ImageDistillation", "Integrator", "linear_classifier"]
