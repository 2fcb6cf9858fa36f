"""Geodesics between two points, by several methods.

Every solver is a frozen dataclass, called as ``solver(metric, p (d,), q (d,), init=None) -> Geodesic``; `solve` runs
one on many pairs as one program. None returns a straight line in silence: `Geodesic.converged` says what happened.
"""

from genkit_latents.geometry.geodesics.boundary import Collocation, FixedPoint, Shooting
from genkit_latents.geometry.geodesics.energy import Energy, Refined, Spline
from genkit_latents.geometry.geodesics.graph import Graph, Hybrid, OnGraph
from genkit_latents.geometry.geodesics.result import Geodesic, Solver, begin, require, solve

__all__ = [
    "Collocation",
    "Energy",
    "FixedPoint",
    "Geodesic",
    "Graph",
    "Hybrid",
    "OnGraph",
    "Refined",
    "Shooting",
    "Solver",
    "Spline",
    "begin",
    "require",
    "solve",
]
