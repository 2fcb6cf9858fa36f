"""Decoupled annealing posterior sampling."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genkit.diffusion import EDM, Process
from genkit.errors import UsageError
from genkit.steer.flow import Path, flow_paths, reconstruct
from genkit.steer.method import Schedule, Steps, Table
from genkit.steer.observation import Normal
from genkit.tree import register_dataclass

Array = jax.Array

POWER = 8  # iterations for the largest curvature


@dataclass(frozen=True)
class DAPS(Schedule):
    """DAPS (Zhang et al. 2024, arXiv 2407.01521): noise, the flow back, a draw given y, at falling levels; no weights.

    x_0 | x_t is taken for N(f(x_t), s_t^2 I). For linear measurements with normal noise its draw given y is exact; for
    any other operator or noise it is made by Langevin steps, as in the paper. Their setting is `steps=200,
    sigma_min=0.1, sigma_max=100` and flows of 5 Euler steps.
    """

    inner: int | None = 5
    """Most steps of a flow, of the levels that remain; none is all."""
    langevin: int = 100
    """Langevin steps of a draw, where it is not exact."""
    rate: float = 0.5
    """Length of the first level's Langevin steps, over 1 / the largest curvature; 1 in the paper. Below 2 they are
    stable, and widen the law by 1 / (1 - rate / 2)."""
    last_rate: float = 0.02
    """That of the last level, over `rate`; linear between."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if self.inner is not None and self.inner < 1:
            raise UsageError(f"inner={self.inner} is too few; the flow needs at least 1 step")
        if self.langevin < 1:
            raise UsageError(f"langevin={self.langevin} is too few; expected at least 1")
        self.positive("rate", "last_rate")

    def table(self, process: Process = EDM()) -> Table:
        """Coefficients of all steps, float64."""
        levels = self.levels(process)
        noise = np.insert(levels.s[1:], 0, levels.start)
        rate = self.rate * np.linspace(1.0, self.last_rate, len(noise))
        steps = Inputs(noise, levels.s**2, rate, flow_paths(levels, self.inner))
        return Table((Anneal(langevin=self.langevin),), None, (steps,), np.zeros(1), process)

    def calls(self, process: Process) -> int:
        """Network calls of one particle."""
        return int(flow_paths(self.levels(process), self.inner).count.sum())


class Particle(NamedTuple):
    """The sample of x_0 at a level, (n, d) in the basis of the operator."""

    x0: Array


class Inputs(NamedTuple):
    """Of a step; leaves () for one step, (T,) for a stage."""

    noise: Any
    """put on x_0"""
    rho2: Any
    """variance of the reconstruction"""
    rate: Any
    path: Path


@register_dataclass
@dataclass(frozen=True, kw_only=True)
class Anneal(Steps):
    """Noise on x_0, the flow back, and a draw of N(x_0, rho^2 I) given y."""

    name = "DAPS"
    needs = ("noise or a linear measurement",)

    langevin: int = field(default=100, metadata={"static": True})

    def begin(self, keys: Array, first: None) -> tuple[Particle, None]:
        """Zeros: the noise of the first level is all there is."""
        return Particle(jnp.zeros_like(self.basis.noise(keys))), None

    def move(self, keys: Array, p: Particle, u: Inputs) -> Particle:
        """x_0 at the next level."""
        forward, back = jax.vmap(lambda key: jax.random.split(key), out_axes=1)(keys)
        x0 = reconstruct(self.basis, p.x0 + u.noise * self.basis.noise(forward), u.path)
        observation = self.basis.observation
        if not observation.diagonal:
            return Particle(self._descend(back, x0, u))
        seen, mean = observation.condition(x0, u.rho2)
        return Particle(mean + jnp.sqrt(u.rho2 * (1 - seen)) * self.basis.noise(back))

    def _descend(self, keys: Array, x0: Array, u: Inputs) -> Array:
        """Langevin steps from x0 (n, d) on its normal law times the likelihood."""
        observation = self.basis.observation
        step = u.rate / (1 / u.rho2 + self._curvature(keys, x0))

        def once(k: Any, x: Array) -> Array:
            gradient = jax.grad(lambda x: observation.log_prob(x).sum())(x) - (x - x0) / u.rho2
            eps = self.basis.noise(jax.vmap(jax.random.fold_in, (0, None))(keys, k))
            return x + step * gradient + jnp.sqrt(2 * step) * eps

        return jax.lax.fori_loop(0, self.langevin, once, x0)

    def _curvature(self, keys: Array, x0: Array) -> Array:
        """About the largest of the likelihood at x0, (n, 1): that of J^T diag(1 / variance) J, by power iteration."""
        observation = self.basis.observation
        near, y = observation.linearised(x0), jnp.asarray(observation.y, x0.dtype)
        over = observation.std**2 if isinstance(observation.noise, Normal) else observation.noise.variance(y)

        def once(k: Any, v: Array) -> Array:
            v = v / jnp.maximum(jnp.linalg.norm(v, axis=1, keepdims=True), 1e-30)
            return near.back(near.forth(v) / over)

        v = jax.lax.fori_loop(
            0, POWER, once, self.basis.noise(jax.vmap(jax.random.fold_in, (0, None))(keys, self.langevin))
        )
        return jnp.linalg.norm(v, axis=1, keepdims=True)
