"""MCMC moves of tempered and sequential targets, with kernels from blackjax.

They run in coordinates in which the population has mean zero and unit covariance (or unit variances), so that their
step size is that for a standard normal target; the samplers adapt it to the acceptance rate.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp

from genkit.chain import reweigh
from genkit.errors import UsageError
from genkit.threefry import written_out
from genkit.tree import register_dataclass

Array = jax.Array


@dataclass(frozen=True, kw_only=True)
class Move:
    """What all have: `step`, `accept`, `algorithm`, and how coordinates are scaled."""

    diagonal: bool = field(default=False, metadata={"static": True})
    """Scale by the standard deviation of each coordinate, not by the whole covariance: sooner, and safer where there
    are more dimensions than some tenth of the particles."""

    if TYPE_CHECKING:
        step: Any
        accept: Any

    def algorithm(self, log_prob: Callable, step: Array, d: int) -> Any:
        """blackjax's algorithm for log_prob (d,) -> ()."""
        raise NotImplementedError(f"{type(self).__name__} has no algorithm")


@register_dataclass
@dataclass(frozen=True)
class RandomWalk(Move):
    """Random-walk Metropolis; the step is in units of 2.38 / sqrt(d) (Gelman, Roberts, Gilks 1996)."""

    step: Any = 1.0
    """To begin with."""
    accept: Any = 0.234
    """Acceptance rate to which the step is adapted; None keeps it."""

    def algorithm(self, log_prob: Callable, step: Array, d: int) -> Any:
        """blackjax's algorithm for log_prob (d,) -> ()."""
        import blackjax

        return blackjax.normal_random_walk(log_prob, jnp.full(d, 2.38 / d**0.5) * step)


@register_dataclass
@dataclass(frozen=True)
class MALA(Move):
    """Metropolis-adjusted Langevin: x + step grad log p + sqrt(2 step) noise."""

    step: Any = 0.5
    """To begin with."""
    accept: Any = 0.574
    """Acceptance rate to which the step is adapted; None keeps it."""

    def algorithm(self, log_prob: Callable, step: Array, d: int) -> Any:
        """blackjax's algorithm for log_prob (d,) -> ()."""
        import blackjax

        return blackjax.mala(log_prob, step)  # type: ignore[operator]


@register_dataclass
@dataclass(frozen=True)
class HMC(Move):
    """Hamiltonian Monte Carlo."""

    step: Any = 0.3
    """To begin with."""
    leapfrog: int = field(default=10, metadata={"static": True})
    """Leapfrog steps, one gradient each."""
    accept: Any = 0.7
    """Acceptance rate to which the step is adapted; None keeps it."""

    def algorithm(self, log_prob: Callable, step: Array, d: int) -> Any:
        """blackjax's algorithm for log_prob (d,) -> ()."""
        import blackjax

        return blackjax.hmc(log_prob, step, jnp.ones(d), self.leapfrog)  # type: ignore[operator]


@register_dataclass
@dataclass(frozen=True)
class Independent(Move):
    """Metropolis-Hastings with proposals from the normal of the population, `step` times as wide."""

    step: Any = 1.2
    """Width; not adapted."""
    accept: ClassVar[None] = None

    def algorithm(self, log_prob: Callable, step: Array, d: int) -> Any:
        """blackjax's algorithm for log_prob (d,) -> ()."""
        import blackjax

        def draw(key: Array) -> Array:
            return step * jax.random.normal(key, (d,))

        def log_q(before: Any, after: Any) -> Array:
            return -0.5 * jnp.sum(after.position**2) / step**2

        return blackjax.irmh(log_prob, draw, log_q)  # type: ignore[operator]


@register_dataclass
@dataclass(frozen=True)
class Frame:
    """Where a population is, and the step size there."""

    mean: Array
    """(d,)"""
    root: Array
    """(d, d), lower Cholesky factor of the covariance, or (d,), standard deviations"""
    step: Array
    """()"""

    def white(self, x: Array) -> Array:
        """(d,) in coordinates of mean zero and unit covariance."""
        if self.root.ndim == 1:
            return (x - self.mean) / self.root
        return jax.scipy.linalg.solve_triangular(self.root, x - self.mean, lower=True)

    def back(self, z: Array) -> Array:
        """(..., d) from these coordinates."""
        return self.mean + (z * self.root if self.root.ndim == 1 else z @ self.root.T)


def frame(x: Array, log_w: Array, step: Array, move: Move) -> Frame:
    """That of x (n, d) with log-weights (n,) of any scale; of equal weights where all are zero."""
    if x.ndim != 2:
        raise UsageError(f"MCMC moves need particles of shape (n, d), got {x.shape}; ravel them")
    w = jnp.exp(reweigh(jnp.zeros_like(log_w), log_w)[0])
    mean = w @ x
    if move.diagonal:
        var = w @ (x - mean) ** 2
        return Frame(mean, jnp.sqrt(var + 1e-6 * var.mean() + 1e-12), step)
    cov = jnp.einsum("i,ij,ik->jk", w, x - mean, x - mean)
    ridge = 1e-6 * jnp.trace(cov) / x.shape[1] + 1e-12
    return Frame(mean, jnp.linalg.cholesky(cov + ridge * jnp.eye(x.shape[1], dtype=x.dtype)), step)


def adapt(move: Move, step: Array, accept: Array) -> Array:
    """Step size for the next move, by the acceptance rate of the last one."""
    return step if move.accept is None else step * jnp.exp(2 * (accept - move.accept))


def mutate(
    keys: Array, x: Array, log_prob: Callable, move: Move, at: Frame, steps: int, waste_free: bool
) -> tuple[Array, Array]:
    """`steps` states after x (m, d) by MCMC on log_prob (d,) -> (): the last ones, or with x as states all of them.

    Returns:
        x (m, d), or (m steps, d) with x itself as the first of each m (waste-free: steps - 1 moves), and the mean
        acceptance rate of each state's chain.
    """
    algorithm = move.algorithm(lambda z: log_prob(at.back(z)), at.step, x.shape[1])

    def chain(key: Array, x: Array) -> tuple[Array, Array]:
        def one(state: Any, k: Array) -> tuple[Any, tuple[Array, Array]]:
            state, info = algorithm.step(k, state)
            return state, (state.position, info.acceptance_rate)

        _, (z, accept) = jax.lax.scan(one, algorithm.init(at.white(x)), jax.random.split(key, steps - waste_free))
        states = at.back(z)
        if waste_free:
            return jnp.concatenate([x[None], states]), jnp.full(steps, accept.mean())
        return states[-1], accept.mean()

    x, accept = jax.vmap(chain)(written_out(keys), x)
    return (x.reshape(-1, x.shape[-1]), accept.reshape(-1)) if waste_free else (x, accept)
