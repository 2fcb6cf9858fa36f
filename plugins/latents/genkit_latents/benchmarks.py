"""The suite `latents.geodesics`: how fast and how exact solvers are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from genkit.bench import Row, Timed
from genkit_latents.geometry import Conformal
from genkit_latents.geometry.geodesics import Energy, Refined, Shooting, solve
from genkit_latents.geometry.manifolds import HalfPlane

TOY = Conformal(lambda z: 1 + z @ z)
TOY_LENGTH = 2.4695777466585582  # (-1, .5) to (1, .5), from the Jacobi metric
PLANE_LENGTH = 1.9248473002384139  # (0, 1) to (3, 2) in the half-plane


@dataclass(frozen=True)
class Geodesics:
    """Batches of geodesics of the toy metric (1 + |z|^2) I of stochman, in float32 from random ends."""

    def measure(self, profile: str) -> Iterator[Row | Timed]:
        """Geodesics a second with the share that converged; errors against closed forms and measured orders."""
        n = 64 if profile == "smoke" else 2048
        rng = np.random.default_rng(0)
        p, q = (jnp.asarray(rng.uniform(-1, 1, (n, 2)), jnp.float32) for _ in range(2))
        p = p.at[0].set(jnp.array([-1.0, 0.5]))
        q = q.at[0].set(jnp.array([1.0, 0.5]))
        for name, solver in (("refined, 8 and 16", Refined(Energy(8))), ("polygon of 32", Energy(32))):
            yield Timed(f"toy metric, {name}", lambda s=solver: solve(s, TOY, p, q).length, {"geodesics/s": n})
            found = solve(solver, TOY, p, q)
            share = float(found.converged.mean())
            yield Row(f"toy metric, {name}", share, "share converged", 1.0, 1e-9)
            allowed = 1e-5 if isinstance(solver, Refined) else 1e-4
            yield Row(f"toy metric, {name}", float(found.length[0]), "length", TOY_LENGTH, allowed, "closed form")
        with jax.enable_x64(True):
            ends = jnp.array([[0.0, 1.0]]), jnp.array([[3.0, 2.0]])
            errors = [float(solve(Energy(k), HalfPlane(), *ends).length[0]) - PLANE_LENGTH for k in (16, 32)]
            yield Row("polygon, half-plane", float(np.log2(errors[0] / errors[1])), "order", 2.0, 0.02)
            length = float(solve(Shooting(), HalfPlane(), *ends).length[0])
            yield Row("shooting, half-plane", length, "length", PLANE_LENGTH, 1e-7, "closed form")
