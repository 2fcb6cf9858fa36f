"""The options of methods that are tuned on the validation split, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from math import inf, isfinite
from typing import Any

from genkit.errors import GenkitError

GRIDS: dict[str, Mapping[str, tuple[float, ...]]] = {
    "oi": {"length": (4.0, 8.0, 16.0, inf), "shrink": (0.0, 0.05), "scale": (0.25, 0.5, 1.0, 2.0)},
    "forecast_oi": {"length": (8.0, 16.0), "scale": (0.1, 0.3, 1.0), "keep": (0.3, 0.6, 1.0)},
    "etkf": {"inflation": (1.0, 1.3, 1.6), "keep": (0.3, 0.6, 0.8, 1.0)},
    "letkf": {"inflation": (1.0, 1.3, 1.6), "length": (2.0, 4.0, 8.0), "keep": (0.3, 0.6, 0.8, 1.0)},
    "daisi": {"level": (0.5, 1.0, 3.0), "noise": (0.0, 1.0)},
}
"""Values of the options of each method, of which all combinations are tried."""


def tuned(
    name: str, grid: Mapping[str, tuple[float, ...]], score: Callable[[Mapping[str, float]], float]
) -> tuple[dict[str, float], float]:
    """The options of a method with the least score in a grid, and that; a score that is not finite is none."""
    tried: list[tuple[float, dict[str, Any]]] = []
    for values in product(*grid.values()):
        options = dict(zip(grid, values, strict=True))
        tried.append((score(options), options))
    best, options = min(tried, key=lambda one: one[0] if isfinite(one[0]) else inf)
    if not isfinite(best):
        raise GenkitError(
            f"no analysis of {name} on the validation split was finite, whatever its options; leave it out"
        )
    return options, best
