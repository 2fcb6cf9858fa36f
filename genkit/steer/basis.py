"""The prior as methods for linear measurements see it: in the basis of the operator, divided by alpha."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import jax
import jax.numpy as jnp

from genkit.chain import Kernel, callable_tree
from genkit.diffusion import Denoiser, Process, denoise, normals, process_of
from genkit.errors import UsageError
from genkit.steer.operators import Observation
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Basis:
    """A denoiser and an observation, for states z = V^T x / alpha of shape (n, d)."""

    denoiser: Denoiser
    cond: Any
    observation: Observation

    def denoised(self, z: Array, time: Any, alpha: Any) -> Array:
        """V^T E[x_0 | x_t = alpha V z], (n, d); one network call."""
        operator = self.observation.operator
        x = operator.from_basis(jnp.asarray(alpha, z.dtype) * z)
        return operator.to_basis(denoise(self.denoiser, x, jnp.asarray(time, z.dtype), self.cond))

    def noise(self, keys: Array) -> Array:
        """Standard normals (n, d)."""
        return normals(keys, (keys.shape[0], prod(self.observation.operator.shape)))

    @property
    def measured(self) -> tuple[Array, Array, Array]:
        """Singular values s (r,), what was measured U^T y (r,), and the noise's standard deviation ()."""
        c = self.observation.coordinates
        return jnp.asarray(self.observation.operator.s, c.dtype), c, jnp.asarray(self.observation.std, c.dtype)


@register_dataclass
@dataclass(frozen=True)
class Items(Kernel):
    """The end of a chain: from the particle's reconstruction `x0` (n, d) in the basis to items (n, *shape)."""

    basis: Basis

    def move(self, keys: Array, p: Any, u: Any) -> Array:
        """V x0."""
        return self.basis.observation.operator.from_basis(p.x0)


def basis_of(process: Process, denoiser: Denoiser, cond: Any, observation: Observation) -> Basis:
    """A basis; refuses a denoiser of another process than that of a method's table."""
    if process_of(denoiser) != process:
        raise UsageError(
            f"the table is for {process}, the denoiser for {process_of(denoiser)}; make it by table(process) with the "
            "denoiser's process"
        )
    return Basis(callable_tree(denoiser), cond, observation)
