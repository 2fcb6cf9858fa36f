"""Manifolds with closed forms beside geoopt (Kochurov et al. 2020) and geomstats (Miolane et al. 2020), in float64:

    genkit bench benchmarks.manifold_peers:ManifoldPeers

needs geoopt (with torch), geomstats (2.8 needs numpy below 2.4) and the plugin latents. Torch has as many threads as it
takes by itself; `taskset` gives all the same cores.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from genkit.bench import Row, Timed
from genkit.errors import GenkitError

SAME = 1e-9  # largest difference between two libraries, and error of a mean


def spheres(rng: np.random.Generator, n: int) -> np.ndarray:
    """Pairs (2, n, 3) of uniform points of the sphere."""
    x = rng.standard_normal((2, n, 3))
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def matrices(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Wishart matrices (*shape, 3, 3) with half the identity added."""
    a = rng.standard_normal((*shape, 3, 3))
    return a @ np.swapaxes(a, -1, -2) + 0.5 * np.eye(3)


def beside(name: str, ours: Callable, both: np.ndarray, peers: dict[str, Callable]) -> Iterator[Row | Timed]:
    """Largest differences from the peers, and ratios of times."""
    compiled, ends = jax.jit(ours), tuple(map(jnp.asarray, both))
    for peer, theirs in peers.items():
        off = np.abs(np.asarray(compiled(*ends)) - np.asarray(theirs())).max()
        yield Row(f"{name}: largest difference", off, "", 0.0, SAME, peer)
        yield Timed(f"{name}, {len(both[0])} pairs", lambda: compiled(*ends), {}, (peer, theirs))


@dataclass(frozen=True)
class ManifoldPeers:
    """Time of a batch divided by that of a peer: below 1 is faster. All find the same numbers first."""

    def measure(self, profile: str) -> Iterator[Row | Timed]:
        """Logarithms and distances of sphere, ball and positive matrices, and the mean of 200 such matrices."""
        os.environ.setdefault("GEOMSTATS_BACKEND", "numpy")
        try:
            import geoopt
            import torch
            from geomstats.geometry.hypersphere import Hypersphere
            from geomstats.geometry.poincare_ball import PoincareBall as Ball
            from geomstats.geometry.spd_matrices import SPDMatrices
            from geomstats.learning.frechet_mean import FrechetMean

            from genkit_latents.geometry.manifolds import SPD, PoincareBall, Sphere
            from genkit_latents.stats import frechet_mean
        except ImportError as error:
            raise GenkitError(f"peers need geoopt, geomstats and genkit-latents ({error}); install them") from None
        rng, n = np.random.default_rng(0), 100 if profile == "smoke" else 10_000
        points, positive = spheres(rng, n), matrices(rng, 2, n // 10)
        ball = 0.9 * points[..., :2]
        sphere, disc, spd = Hypersphere(2).metric, Ball(2).metric, SPDMatrices(3).metric
        cases: tuple[tuple[str, Callable, np.ndarray, Callable, Callable], ...] = (
            ("sphere log", Sphere().log, points, geoopt.Sphere().logmap, lambda x, y: sphere.log(y, x)),
            ("ball dist", PoincareBall().dist, ball, geoopt.PoincareBall().dist, disc.dist),
            ("ball log", PoincareBall().log, ball, geoopt.PoincareBall().logmap, lambda x, y: disc.log(y, x)),
            ("SPD dist", SPD(3).dist, positive, geoopt.SymmetricPositiveDefinite().dist, spd.dist),
        )
        with jax.enable_x64(True):
            for name, ours, both, with_torch, with_numpy in cases:
                tensors = torch.from_numpy(both)
                yield from beside(name, ours, both, {
                    "geoopt": lambda f=with_torch, t=tensors: f(t[0], t[1]),
                    "geomstats": lambda f=with_numpy, x=both: f(x[0], x[1]),
                })  # fmt: skip
            some = matrices(rng, 200)
            found, x = jax.jit(lambda x: frechet_mean(SPD(3), x).point), jnp.asarray(some)
            fit = FrechetMean(SPDMatrices(3)).set(epsilon=1e-20, max_iter=1000)  # of the squared slope: as ours
            exact = frechet_mean(SPD(3), x, tolerance=1e-14).point
            for peer, mean in (("genkit", found(x)), ("geomstats", fit.fit(some).estimate_)):
                yield Row("SPD mean: error", np.abs(np.asarray(mean) - exact).max(), "", 0.0, SAME, peer)
            yield Timed("SPD mean of 200", lambda: found(x), {}, ("geomstats", lambda: fit.fit(some).estimate_))
