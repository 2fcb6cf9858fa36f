"""Latent spaces by a short description, with curvatures that may be learned."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from genkit.errors import UsageError
from genkit_latents.geometry.manifolds import Euclidean, Lorentz, Manifold, PoincareBall, Product, Sphere, Stereographic

KINDS = {
    "e": "Euclidean space",
    "p": "Poincare ball",
    "h": "hyperboloid",
    "s": "sphere",
    "d": "sphere, stereographic coordinates",
    "u": "constant curvature of either sign, learned through zero",
}
LETTERS = r"([ephsdu])([1-9]\d*)"


@dataclass(frozen=True)
class Space:
    """What `space` made of a description: kinds and dimensions of the factors, and the curvature to begin with."""

    parts: tuple[tuple[str, int], ...]
    curvature: float

    def start(self) -> Any:
        """Numbers (parts,) to learn: log |curvature|, for u the curvature itself."""
        return jnp.array([0.0 if kind == "u" else math.log(self.curvature) for kind, _ in self.parts])

    def manifold(self, numbers: Any) -> Manifold:
        """The manifold with curvatures from such numbers (parts,)."""
        factors = [_factor(kind, n, numbers[i]) for i, (kind, n) in enumerate(self.parts)]
        return factors[0] if len(factors) == 1 else Product(tuple(factors))


def _factor(kind: str, n: int, number: Any) -> Manifold:
    size = jnp.exp(number)
    if kind == "e":
        return Euclidean(n)
    if kind == "p":
        return PoincareBall(n, size)
    if kind == "h":
        return Lorentz(n, size)
    if kind == "s":
        return Sphere(n, 1 / jnp.sqrt(size))
    return Stereographic(n, size if kind == "d" else number)


def is_space(description: str) -> bool:
    """Whether `space` knows what is meant."""
    return all(re.fullmatch(LETTERS, word.strip()) for word in description.split(","))


def space(description: str, curvature: float = 1.0) -> Space:
    """A space such as `p2` or the product `h2,s2,e2` (Skopek et al. 2020, arXiv 1911.08411), |curvature| at the start.

    Letters: e Euclidean, p Poincare ball, h hyperboloid, s sphere, d stereographic sphere, u either sign.
    """
    parts = []
    for word in description.split(","):
        if not (found := re.fullmatch(LETTERS, word.strip())):
            known = ", ".join(f"{k} ({what})" for k, what in KINDS.items())
            raise UsageError(f"latent space {word!r}; expected a letter and a dimension, as p2; letters: {known}")
        parts.append((found[1], int(found[2])))
    if curvature <= 0:
        raise UsageError(f"curvature={curvature} is a size and must be positive; the letter gives its sign")
    return Space(tuple(parts), curvature)
