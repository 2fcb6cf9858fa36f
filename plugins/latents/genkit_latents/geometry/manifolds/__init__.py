"""Manifolds with closed forms."""

from genkit_latents.geometry.manifolds.base import Manifold, check_positive
from genkit_latents.geometry.manifolds.ellipsis import PoincareEllipsis
from genkit_latents.geometry.manifolds.flat import Euclidean, FlatTorus
from genkit_latents.geometry.manifolds.half_plane import GaussianFisherRao, HalfPlane
from genkit_latents.geometry.manifolds.lorentz import Lorentz
from genkit_latents.geometry.manifolds.orthogonal import Grassmann, SpecialOrthogonal, Stiefel
from genkit_latents.geometry.manifolds.product import Product
from genkit_latents.geometry.manifolds.spd import SPD
from genkit_latents.geometry.manifolds.sphere import Sphere
from genkit_latents.geometry.manifolds.stereographic import ConstantCurvature, PoincareBall, Stereographic

__all__ = [
    "SPD",
    "ConstantCurvature",
    "Euclidean",
    "FlatTorus",
    "GaussianFisherRao",
    "Grassmann",
    "HalfPlane",
    "Lorentz",
    "Manifold",
    "PoincareBall",
    "PoincareEllipsis",
    "Product",
    "SpecialOrthogonal",
    "Sphere",
    "Stereographic",
    "Stiefel",
    "check_positive",
]
