"""Divide-and-conquer posterior sampling for linear measurements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genkit.diffusion import EDM, Process
from genkit.errors import UsageError
from genkit.steer.method import Basis, Levels, Schedule, Steps, Table
from genkit.tree import register_dataclass

Array = jax.Array


@dataclass(frozen=True)
class DCPS(Schedule):
    """DCPS (Janati et al., NeurIPS 2024, arXiv 2403.11407): the levels in blocks, each with a measurement of its own.

    Down to its end, a level with alpha, a block looks at alpha y as if it measured the state there with noise std.
    It begins with Langevin steps towards the prior times that likelihood of the state's mean at the end; then each
    step is the normal law that normalised gradient steps bring near to the chain's step times the likelihood. Not
    exact, since the likelihood of a mean is too sure; no weights. Every call of the network is differentiated but one
    a step.
    """

    eta: float = 1.0
    """Noise of DDIM, above 0 to 1."""
    blocks: int = 3
    """Into how many blocks the levels are cut, evenly."""
    langevin: int = 50
    """Langevin steps of a block."""
    gamma: float = 1e-2
    """Length of a Langevin step, tamed to gamma / (1 + gamma |gradient|)."""
    rounds: int = 2
    """Gradient steps of a level."""
    rate: float = 1.0
    """Their length, a Euclidean norm of the means and of the log standard deviations."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if not 0 < self.eta <= 1:
            raise UsageError(f"eta={self.eta} is outside (0, 1]; the steps need a density")
        for name in ("blocks", "langevin", "rounds"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")
        self.positive("gamma", "rate")

    def ends(self, levels: Levels) -> np.ndarray:
        """Places of the levels between blocks, (blocks + 1,), the last one level zero."""
        n = len(levels.s)
        if 2 * self.blocks > n:
            raise UsageError(f"blocks={self.blocks} of {n} levels; expected two levels a block at least")
        return np.linspace(0, n, self.blocks + 1).round().astype(int)

    def table(self, process: Process = EDM()) -> Table:
        """Coefficients of all steps, float64."""
        levels = self.levels(process)
        s, alpha = np.append(levels.s, 0.0), np.append(levels.alpha, 1.0)

        def jumps(places: np.ndarray, to: Any) -> Jump:
            keep, noise = np.array([np.ravel(self.ddim(s[[i, j]], self.eta)) for i, j in np.broadcast(places, to)]).T
            return Jump(levels.t[places], levels.alpha[places], np.broadcast_to(alpha[to], keep.shape), keep, noise)

        ends, blocks = self.ends(levels), []
        for head, end in zip(ends, ends[1:], strict=False):
            places = np.arange(head, min(end, len(levels.s) - 1))  # the step to level zero has no density
            start = np.full(self.langevin, head)
            blocks.append(((s[start], jumps(start, end)), (jumps(places, places + 1), jumps(places + 1, end))))
        last = jumps(np.array([len(levels.s) - 1]), len(levels.s))
        options = {"gamma": self.gamma, "rate": self.rate, "rounds": self.rounds}
        kernels = (Langevin(**options), Descend(**options)) * self.blocks
        stages = tuple(stage for block in blocks for stage in block)
        return Table(kernels, levels.start * levels.alpha[0], stages, last, process)

    def calls(self, process: Process) -> int:
        """Network calls of one particle."""
        return self.blocks * self.langevin + (len(self.levels(process).s) - 1) * (1 + self.rounds) + 1


class Jump(NamedTuple):
    """DDIM from a level to a lower one; leaves () for one step, (T,) for a stage."""

    time: Any
    """of the departure"""
    alpha: Any
    """of the departure"""
    after: Any
    """alpha of the arrival"""
    keep: Any
    noise: Any

    def mean(self, basis: Basis, x: Array) -> Array:
        """Mean of x at the arrival, (n, d); one network call."""
        return self.land(basis, x)[0]

    def land(self, basis: Basis, x: Array) -> tuple[Array, Array]:
        """The mean, and the denoised value at the departure, both (n, d)."""
        z = x / self.alpha
        d = basis.denoised(z, self.time, self.alpha)
        return self.after * (d + self.keep * (z - d)), d

    @property
    def std(self) -> Any:
        """Standard deviation of x there."""
        return self.after * self.noise


def misfit(basis: Basis, x: Array, alpha: Any) -> Array:
    """|alpha y - A x|^2 / (2 std^2), (n,), of x (n, d) at a level with that alpha: the potential of a block."""
    s, c, std = basis.measured
    return 0.5 * (((alpha * c - s * x[:, : s.size]) / std) ** 2).sum(1)


@register_dataclass
@dataclass(frozen=True, kw_only=True)
class Block(Steps):
    """Base of the steps of a block; states are V^T x (n, d)."""

    name = "DCPS"

    gamma: Any = None
    rate: Any = None
    rounds: int = field(default=2, metadata={"static": True})

    def begin(self, keys: Array, first: Any) -> tuple[Array, None]:
        """Noise at the highest level, of standard deviation `first`."""
        return first * self.basis.noise(keys), None

    def end(self, keys: Array, p: Array, last: Jump) -> Array:
        """x_0 = D, as items (n, *shape); one network call."""
        return self.basis.observation.operator.from_basis(last.mean(self.basis, p))


@register_dataclass
@dataclass(frozen=True, kw_only=True)
class Langevin(Block):
    """A tamed Langevin step at the head of a block."""

    def move(self, keys: Array, p: Array, u: tuple[Any, Jump]) -> Array:
        """Up the gradient of log p(x) - misfit of the mean at the block's end; one network call, differentiated."""
        s, jump = u
        end, back, d = jax.vjp(lambda x: jump.land(self.basis, x), p, has_aux=True)
        (pull,) = back(jax.grad(lambda x: misfit(self.basis, x, jump.after).sum())(end))
        gradient = (d - p / jump.alpha) / (jump.alpha * s**2) - pull
        step = self.gamma / (1 + self.gamma * jnp.linalg.norm(gradient, axis=1, keepdims=True))
        return p + step * gradient + jnp.sqrt(2 * self.gamma) * self.basis.noise(keys)


@register_dataclass
@dataclass(frozen=True, kw_only=True)
class Descend(Block):
    """A level down by the normal law nearest to the chain's step times the potential of the block's end."""

    def move(self, keys: Array, p: Array, u: tuple[Jump, Jump]) -> Array:
        """Normalised gradient steps on its mean and log standard deviations from those of the chain, then a draw."""
        down, ahead = u
        prior = down.mean(self.basis, p)
        log_std = jnp.log(down.std)

        def divergence(law: tuple[Array, Array], eps: Array, more: Array) -> Array:
            """KL(N(mean, exp(width)^2) | chain's step) + E misfit by one draw, summed over particles."""
            mean, width = law
            end = ahead.mean(self.basis, mean + jnp.exp(width) * eps) + ahead.std * more
            gap = jnp.exp(2 * (width - log_std)) + ((mean - prior) / down.std) ** 2
            return (0.5 * gap - width).sum() + misfit(self.basis, end, ahead.after).sum()

        def improve(k: Any, law: tuple[Array, Array]) -> tuple[Array, Array]:
            own, other = (self.basis.noise(_fold(keys, 2 * k + i)) for i in (1, 2))
            slopes = jax.grad(divergence)(law, own, other)
            return jax.tree.map(lambda a, g: a - self.rate * g / (_length(g) + 1e-8), law, slopes)

        mean, width = jax.lax.fori_loop(0, self.rounds, improve, (prior, jnp.full_like(prior, log_std)))
        return mean + jnp.exp(width) * self.basis.noise(_fold(keys, 0))


def _fold(keys: Array, k: Any) -> Array:
    return jax.vmap(jax.random.fold_in, (0, None))(keys, k)


def _length(g: Array) -> Array:
    return jnp.linalg.norm(g, axis=1, keepdims=True)
