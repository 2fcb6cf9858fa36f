"""Sequential quasi-Monte Carlo: Gerber and Chopin 2015 (arXiv 1402.4039)."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtri
from scipy.stats import qmc

from genkit.chain import Kernel, Model, State
from genkit.errors import UsageError
from genkit.smc.twisting import NormalChain
from genkit.tree import register_dataclass

Array = jax.Array
BITS = 31  # of a place on the curve


def sqmc(chain: NormalChain, n: int, seed: int) -> Model:
    """The chain driven by scrambled Sobol points, for n particles; resampled in each step, along a Hilbert curve.

    The randomness lies in the points: the key of a run changes nothing, another seed gives an independent run, and
    log_z is unbiased over seeds. Its error falls faster than 1 / sqrt(n) where particles have few coordinates.

    Args:
        chain: moves are normal, so a point is turned into a draw by the inverse of their distribution function.
        n: number of particles, a power of two.
        seed: of the scrambling.
    """
    if n < 2 or n & (n - 1):
        raise UsageError(f"n={n}; expected a power of two, for which Sobol points are balanced")
    shape = np.shape(chain.mean)
    d, steps = int(np.prod(shape)), jax.tree.leaves(chain.inputs)[0].shape[0]
    if d + 1 > qmc.Sobol.MAXDIM or d > BITS:
        raise UsageError(f"particles have {d} coordinates; expected at most {BITS} for a Hilbert curve")
    rng = np.random.default_rng(seed)
    points = np.stack([qmc.Sobol(d + 1, seed=rng).random(n) for _ in range(steps)])  # type: ignore[call-arg]
    points = np.take_along_axis(points, np.argsort(points[..., :1], axis=1), 1)
    eps = np.finfo(np.float64).eps
    normals = ndtri(np.clip(points[..., 1:], eps, 1 - eps)).reshape(steps, n, *shape)
    first, later = (
        jax.tree.map(lambda a, s=s: a[s], (chain.inputs, points[..., 0], normals)) for s in (0, slice(1, None))
    )
    return Model(QuasiBegin(chain, first[0], first[2]), ((Quasi(chain.kernel), later),))


@register_dataclass
@dataclass(frozen=True)
class QuasiBegin:
    """x_0 and its weight."""

    chain: NormalChain
    u: Any
    z: Any

    def __call__(self, keys: Array) -> tuple[Array, Array]:
        """Particles (n, ...); the keys are not used."""
        if keys.shape[0] != self.z.shape[0]:
            raise UsageError(
                f"{keys.shape[0]} particles, but points for {self.z.shape[0]}; run as many as sqmc was given"
            )
        x = jnp.asarray(self.chain.mean + self.chain.std * self.z, float)
        return x, self.chain.kernel.log_g(None, x, self.u)


@register_dataclass
@dataclass(frozen=True)
class Quasi(Kernel):
    """A kernel of normal moves, by points; inputs are those of the kernel, first coordinates (n,), normals (n, ...)."""

    kernel: Any

    def parents(self, state: State, u: Any) -> tuple[Array, Array]:
        """Inverse of the distribution function along the curve, at first coordinates in rising order."""
        flat, there = state.p.reshape(state.p.shape[0], -1), state.log_w > -jnp.inf
        order = along_curve(jnp.where(there[:, None], flat, 0.0))  # those without weight may be anything
        c = jnp.cumsum(jnp.exp(state.log_w[order]))
        idx = order[jnp.searchsorted(c / c[-1], u[1].astype(c.dtype)).clip(0, len(c) - 1)]
        return idx, jnp.full_like(state.log_w, -np.log(len(idx)))

    def move(self, keys: Array, p: Array, u: Any) -> Array:
        """Draws at the points."""
        mean, std = self.kernel.normal(p, u[0])
        return mean + (std * u[2]).astype(mean.dtype)

    def log_g(self, p: Array, p1: Array, u: Any) -> Array:
        """That of the kernel."""
        return self.kernel.log_g(p, p1, u[0])


def along_curve(x: Array) -> Array:
    """Places (n,) of x (n, d) in the order in which a Hilbert curve meets them; of one coordinate, by size.

    Coordinates are standardised and mapped to (0, 1) by the logistic function.
    """
    if x.shape[1] == 1:
        return jnp.argsort(x[:, 0])
    unit = jax.nn.sigmoid((x - x.mean(0)) / jnp.maximum(x.std(0), 1e-30))
    bits = BITS // x.shape[1]
    cells = jnp.clip(unit * 2**bits, 0, 2**bits - 1).astype(jnp.uint32)
    return jnp.argsort(hilbert(cells, bits))


def hilbert(cells: Array, bits: int) -> Array:
    """Number of each cell on the Hilbert curve of the grid of 2^bits cells a side; (n, d) uint32 -> (n,) uint32.

    Skilling, Programming the Hilbert curve (2004); d bits <= 32.
    """
    x = list(cells.T)
    d = len(x)
    for b in reversed(range(1, bits)):
        q, low = jnp.uint32(1 << b), jnp.uint32((1 << b) - 1)
        for i in range(d):
            flip = (x[i] & q) != 0
            swap = jnp.where(flip, jnp.uint32(0), (x[0] ^ x[i]) & low)
            x[0] = jnp.where(flip, x[0] ^ low, x[0] ^ swap)
            x[i] = x[i] ^ swap if i else x[0]
    for i in range(1, d):
        x[i] = x[i] ^ x[i - 1]
    t = jnp.zeros_like(x[0])
    for b in reversed(range(1, bits)):
        t = jnp.where((x[-1] >> b) & 1 != 0, t ^ jnp.uint32((1 << b) - 1), t)
    place = jnp.zeros_like(t)
    for b in reversed(range(bits)):
        for i in range(d):
            place = place << 1 | ((x[i] ^ t) >> b) & 1
    return place
