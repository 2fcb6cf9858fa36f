"""Resampling of populations that are split over devices, within `jax.set_mesh(genkit.parallel.make_mesh(...))`."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from genkit.chain import Resampler, particle_keys
from genkit.errors import UsageError
from genkit.parallel import split
from genkit.smc.resampling import Resample, ess
from genkit.smc.schemes import systematic
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Global:
    """Exact resampling of the whole population: with equal log-weights the very parents of a single device.

    Every device gets all n log-weights and finds all parents; each then fetches the particles of its own share. On one
    device it is `resample` itself. Under `jax.vmap(..., spmd_axis_name="model")` many independent runs take the other
    axis of the mesh.
    """

    resample: Resampler = Resample()

    @property
    def independent(self) -> bool:
        """Whether the n children of a population are independent draws by its weights."""
        return getattr(self.resample, "independent", False)

    def __call__(self, key: Array, before: Array, after: Array) -> tuple[Array, Array, Array]:
        """(idx (m,), log_w (m,), did ()), split over devices."""
        _check(after.shape[0])
        idx, log_w, did = self.resample(key, _everywhere(before), _everywhere(after))
        idx, log_w = _everywhere((idx, log_w))  # else parts of the sums are taken on the shares, in another order
        return split(idx), split(log_w), did


@register_dataclass
@dataclass(frozen=True)
class Islands:
    """Resampling inside islands of n / islands particles, which carry weights (Verge et al. 2015).

    Islands are resampled themselves when few of them have weight. exp(log_z) stays unbiased. With as many islands as
    devices, or a multiple, each is on one device.
    """

    islands: int = field(metadata={"static": True})
    resample: Resampler = Resample()
    """Inside each island."""
    exchange: Any = 0.5
    """Resample the islands when the effective number of them is below this fraction; 1 always, 0 never."""

    def __call__(self, key: Array, before: Array, after: Array) -> tuple[Array, Array, Array]:
        """(idx (n,), log_w (n,), did ()), split over devices."""
        n, d = after.shape[0], self.islands
        _check(n)
        if n % d:
            raise UsageError(f"{n} particles cannot live on {d} islands of one size; {d} must divide {n}")
        log_w = split(after.reshape(d, n // d))
        total = jax.nn.logsumexp(log_w, axis=1)
        inner = jnp.where(total[:, None] == -jnp.inf, -jnp.log(n // d), log_w - total[:, None])

        swap = (ess(total) < self.exchange * d) | (jnp.asarray(self.exchange) >= 1)
        source = jnp.where(swap, systematic(jax.random.fold_in(key, d), total, d), jnp.arange(d, dtype=jnp.int32))
        total = jnp.where(swap, -jnp.log(d), total)
        inner = inner[source]
        idx, inner, did = jax.vmap(self.resample)(particle_keys(key, jnp.arange(d)), inner, inner)
        idx = idx + source[:, None] * (n // d)
        return split(idx.reshape(n)), split((total[:, None] + inner).reshape(n)), swap | did.any()


def _everywhere(a: Any) -> Any:
    return a if _devices() == 1 else jax.lax.with_sharding_constraint(a, PartitionSpec())


def _devices() -> int:
    return dict(jax.sharding.get_abstract_mesh().shape).get("data", 1)


def _check(n: int) -> None:
    if n % _devices():
        raise UsageError(
            f"{n} particles cannot be split over {_devices()} devices; choose a multiple of {_devices()}, "
            "or a mesh of fewer devices"
        )
