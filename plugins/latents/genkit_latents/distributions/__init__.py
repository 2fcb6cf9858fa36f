"""Distributions on manifolds; densities are with respect to the Riemannian volume."""

from genkit_latents.distributions.brownian import BrownianMotion, walk
from genkit_latents.distributions.heat import HyperbolicHeatKernel, SphericalHeatKernel, sphere_heat_kernel
from genkit_latents.distributions.mixture import Mixture, assignment, clipped, divergence
from genkit_latents.distributions.radial import (
    PowerSpherical,
    Radial,
    RiemannianNormal,
    Uniform,
    VonMisesFisher,
    log_sphere,
)
from genkit_latents.distributions.wrapped import Independent, WrappedNormal

__all__ = [
    "BrownianMotion",
    "HyperbolicHeatKernel",
    "Independent",
    "Mixture",
    "PowerSpherical",
    "Radial",
    "RiemannianNormal",
    "SphericalHeatKernel",
    "Uniform",
    "VonMisesFisher",
    "WrappedNormal",
    "assignment",
    "clipped",
    "divergence",
    "log_sphere",
    "sphere_heat_kernel",
    "walk",
]
