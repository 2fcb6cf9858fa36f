"""Elliptical slice sampling in the source space of a flow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genkit.diffusion import EDM, Process
from genkit.errors import UsageError
from genkit.steer.flow import Path, flow_paths, reconstruct
from genkit.steer.method import Ended, Schedule, Steps, Table
from genkit.tree import register_dataclass

Array = jax.Array


@dataclass(frozen=True)
class ESSFlow(Schedule):
    """ESS-Flow (Kalaivanan, Zhao, Sjolund, Lindsten, arXiv 2510.05849): MCMC on the noise from which a flow starts.

    x_0 = Phi(xi) by the probability flow on all levels, xi ~ N(0, I). The chain has the law N(xi; 0, I) p(y | Phi(xi)),
    by elliptical slice sampling (Murray, Adams, MacKay 2010): exact for the data of the flow, however rough the
    likelihood. No derivative at all, so it takes any operator and noise, simulators and steps included; each proposal
    costs a flow. A particle is a chain of `moves` moves; those that found no point in `shrinks` proposals stay where
    they are. `Draws.said` has the `calls` of the likelihood and how often a chain was `stuck`; one that never met a
    point of positive likelihood has failed (`Draws.collapsed`).
    """

    moves: int = 50
    """Moves of a chain."""
    shrinks: int = 50
    """Most proposals of a move."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        for name in ("moves", "shrinks"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")

    def table(self, process: Process = EDM()) -> Table:
        """The flow's levels, float64."""
        levels = self.levels(process)
        path = jax.tree.map(lambda a: a[0], flow_paths(levels, None))
        kernel = Slice(std=levels.start, path=path, shrinks=self.shrinks)
        return Table((kernel,), None, (np.arange(self.moves),), np.zeros(1), process)

    def calls(self, process: Process) -> int:
        """Network calls of one particle, at most; a move takes a few proposals."""
        return len(self.levels(process).s) * (1 + self.moves * self.shrinks)


class Particle(NamedTuple):
    """A chain's place; leaves (n, ...)."""

    xi: Array
    """(n, d) standard normal before the measurement"""
    x0: Array
    """(n, d) where it flows to, in the basis"""
    log_lik: Array
    calls: Array
    """(n,) int, of the likelihood"""
    stuck: Array
    """(n,) int, moves that found nothing"""


@register_dataclass
@dataclass(frozen=True, kw_only=True)
class Slice(Steps):
    """A move along a random ellipse through the place."""

    name = "ESSFlow"
    needs = ("noise",)

    std: Any = None
    path: Path | None = None
    shrinks: int = field(default=50, metadata={"static": True})

    def begin(self, keys: Array, first: None) -> tuple[Particle, None]:
        """A draw of the flow."""
        xi = self.basis.noise(keys)
        x0, log_lik = self._flow(xi)
        zero = jnp.zeros(len(xi), jnp.int32)
        return Particle(xi, x0, log_lik, zero + 1, zero), None

    def move(self, keys: Array, p: Particle, u: Any) -> Particle:
        """Shrink the bracket of angles about the place until a point is likely enough."""
        turn, nu_keys, level = jax.vmap(lambda key: jax.random.split(key, 3), out_axes=1)(keys)
        nu = self.basis.noise(nu_keys)
        bar = jnp.log(jax.vmap(lambda k: jax.random.uniform(k, minval=1e-30))(level))
        bar = p.log_lik + bar
        angle = 2 * jnp.pi * jax.vmap(jax.random.uniform)(turn)

        def goes(carry: Any) -> Array:
            k, _, _, done, *_ = carry
            return (k < self.shrinks) & ~done.all()

        def propose(carry: Any) -> Any:
            k, angle, (low, high), done, p1 = carry
            xi = p.xi * jnp.cos(angle)[:, None] + nu * jnp.sin(angle)[:, None]
            x0, log_lik = self._flow(xi)
            found = ~done & (log_lik >= bar)
            new = Particle(xi, x0, log_lik, p1.calls, p1.stuck)
            p1 = jax.tree.map(lambda a, b: jnp.where(found.reshape(-1, *[1] * (a.ndim - 1)), a, b), new, p1)
            p1 = p1._replace(calls=p1.calls + ~done)
            low, high = jnp.where(angle < 0, angle, low), jnp.where(angle >= 0, angle, high)
            fresh = jax.vmap(lambda key: jax.random.uniform(jax.random.fold_in(key, k + 1)))(turn)
            return k + 1, low + fresh * (high - low), (low, high), done | found, p1

        begin = (0, angle, (angle - 2 * jnp.pi, angle), jnp.zeros(len(angle), bool), p)
        *_, done, p1 = jax.lax.while_loop(goes, propose, begin)
        return p1._replace(stuck=p1.stuck + ~done)

    def end(self, keys: Array, p: Particle, last: Any) -> Ended:
        """Items, and what the chain cost."""
        said = {"calls": p.calls, "stuck": p.stuck}
        return Ended(super().end(keys, p, last), said, failed=~jnp.isfinite(p.log_lik))

    def _flow(self, xi: Array) -> tuple[Array, Array]:
        """x_0 (n, d) and log p(y | x_0), (n,), -inf where that is NaN."""
        x0 = reconstruct(self.basis, jnp.asarray(self.std, xi.dtype) * xi, self.path)  # type: ignore[arg-type]
        log_lik = self.basis.observation.log_prob(x0)
        return x0, jnp.where(jnp.isnan(log_lik), -jnp.inf, log_lik)
