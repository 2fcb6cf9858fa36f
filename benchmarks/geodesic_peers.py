"""Geodesics of a conformal metric beside stochman (Detlefsen et al. 2021), by energies on both sides:

    genkit bench benchmarks.geodesic_peers:GeodesicPeers

needs stochman (which brings torch) and the plugin latents. stochman fits cubic splines by Adam with its defaults; ours
is a polygon by Newton's method with Richardson's extrapolation. The metric is (1 + |z|^2) I in the plane.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from genkit.bench import Row, Timed
from genkit.errors import GenkitError

MANY, FEW = 1024, 256


def pairs(n: int) -> tuple[np.ndarray, np.ndarray]:
    """n pairs of ends (n, 2), uniform in a square; the first is (-1, .5), (1, .5)."""
    p, q = np.random.default_rng(0).uniform(-1, 1, (2, n, 2)).astype(np.float32)
    p[0], q[0] = (-1, 0.5), (1, 0.5)
    return p, q


def ours(n: int) -> Callable[[], Any]:
    """Lengths of n geodesics by `Refined`, and whether all converged."""
    from genkit_latents.benchmarks import TOY
    from genkit_latents.geometry.geodesics import Energy, Refined, solve

    p, q = map(jnp.asarray, pairs(n))
    return lambda: solve(Refined(Energy(8)), TOY, p, q)


def theirs(n: int) -> Callable[[], tuple[np.ndarray, bool]]:
    """The same by stochman, lengths from 400 points of each spline."""
    import torch
    from stochman.manifold import Manifold

    class Toy(Manifold):
        def metric(self, c: Any, return_deriv: bool = False) -> Any:
            return (1 + (c**2).sum(-1))[:, None, None] * torch.eye(2)

    manifold, (p, q) = Toy(), map(torch.from_numpy, pairs(n))
    t = torch.linspace(0, 1, 400)

    def run() -> tuple[np.ndarray, bool]:
        curve, good = manifold.connecting_geodesic(p, q)
        return manifold.curve_length(curve(t)).detach().numpy(), bool(good.all())

    return run


@dataclass(frozen=True)
class GeodesicPeers:
    """Time of a batch divided by that of stochman: below 1 is faster. Both find a known length first."""

    def measure(self, profile: str) -> Iterator[Row | Timed]:
        """A large batch beside one geodesic of stochman, and equal batches."""
        try:
            import stochman

            from genkit_latents.benchmarks import TOY_LENGTH
        except ImportError as error:
            raise GenkitError(f"peers need stochman and genkit-latents ({error}); install them") from None
        del stochman
        many, few = (64, 4) if profile == "smoke" else (MANY, FEW)
        found, one = ours(many), theirs(1)
        length, good = one()
        yield Row("one geodesic of stochman", float(length[0]), "length", TOY_LENGTH, 1e-3, "closed form")
        yield Row("one geodesic of stochman", float(good), "converged")
        yield Row(f"{many} geodesics", float(found().length[0]), "length", TOY_LENGTH, 1e-5, "closed form")
        yield Row(f"{many} geodesics", float(found().converged.mean()), "share converged", 1.0, 1e-9)
        yield Timed(f"{many} geodesics beside one of stochman", found, {"geodesics/s": many}, ("stochman", one))
        yield Timed(f"{few} geodesics beside {few} of stochman", ours(few), {}, ("stochman", theirs(few)))
