"""Metrics, manifolds and geodesics."""

from genkit_latents.geometry.ambient import InverseDensity, LocalDiagonalPCA, StandardNormal
from genkit_latents.geometry.curves import Curves, between
from genkit_latents.geometry.descent import riemannian_adam, riemannian_sgd
from genkit_latents.geometry.likelihoods import Family, Gaussian, Normal, family
from genkit_latents.geometry.metric import Conformal, Diagonal, Full, as_tree, gaussian_curvature, log_volume
from genkit_latents.geometry.neighbours import neighbour_pairs
from genkit_latents.geometry.numeric import Numeric
from genkit_latents.geometry.paths import length, straight
from genkit_latents.geometry.pullback import Pullback, stochastic

__all__ = [
    "Conformal",
    "Curves",
    "Diagonal",
    "Family",
    "Full",
    "Gaussian",
    "InverseDensity",
    "LocalDiagonalPCA",
    "Normal",
    "Numeric",
    "Pullback",
    "StandardNormal",
    "as_tree",
    "between",
    "family",
    "gaussian_curvature",
    "length",
    "log_volume",
    "neighbour_pairs",
    "riemannian_adam",
    "riemannian_sgd",
    "stochastic",
    "straight",
]
