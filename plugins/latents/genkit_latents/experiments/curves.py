"""Curves under the metrics of a decoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from genkit.errors import UsageError
from genkit_latents.geometry import length, straight
from genkit_latents.geometry.geodesics import Energy, Graph, Hybrid, solve


def curves(
    metrics: Mapping[str, Any], p: Any, q: Any, codes: np.ndarray, corners: int, solver: Energy
) -> dict[str, np.ndarray]:
    """Straight lines between p and q (n, 2), and under each metric the geodesics; their lengths and flags.

    `codes` (m, 2) are kept as they are; `corners` of them make the graphs from which the solver starts.
    """
    line = jax.vmap(lambda p, q: straight(p, q, solver.segments))(p, q)
    found: dict[str, np.ndarray] = {"codes": codes, "curves/straight": np.asarray(line)}
    for name, metric in metrics.items():
        graph = Graph.build(metric, codes[:: max(1, len(codes) // corners)], 8)
        best = solve(Hybrid(graph, solver), metric, p, q, chunk=128)
        found |= {
            f"curves/{name}": np.asarray(best.curve),
            f"length/{name}": np.asarray(best.length),
            f"converged/{name}": np.asarray(best.converged),
            f"straight/{name}": np.asarray(jax.vmap(lambda c, m=metric: length(m, c))(line)),
        }
    return found


def shares(arrays: Mapping[str, np.ndarray], name: str) -> dict[str, float]:
    """Of the geodesics of a metric: shortening and longest, mean and largest length over the straight line's; share
    that converged."""
    ratio = arrays[f"length/{name}"] / arrays[f"straight/{name}"]
    return {
        f"shortening/{name}": float(ratio.mean()),
        f"longest/{name}": float(ratio.max()),
        f"converged/{name}": float(arrays[f"converged/{name}"].mean()),
    }


def check(recipe: Any) -> None:
    """Refuse a recipe without a deviation, or whose latent space is not the plane."""
    if getattr(recipe, "centres", 1) < 1:
        raise UsageError(f"centres={recipe.centres} is too few; expected at least 1")
    if (setting := getattr(recipe, "setting", None)) and setting.latent != "e2":
        raise UsageError(f"the latent space {setting.latent} is not the plane; expected e2")
