"""Generative models on manifolds: Riemannian flow matching and score-based models."""

from genkit_latents.flows.field import Field, divergence
from genkit_latents.flows.matching import FlowMatching, ScoreMatching
from genkit_latents.flows.model import ManifoldModel
from genkit_latents.flows.spectral import Spectral

__all__ = ["Field", "FlowMatching", "ManifoldModel", "ScoreMatching", "Spectral", "divergence"]
