"""MCMC moves of tempered and sequential targets, with kernels from blackjax.

They run in coordinates in which the population has mean zero and unit covariance (or unit variances), so that their
step size is that for a standard normal target; the samplers adapt it to the acceptance rate.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from genkit.chain import reweigh
from genkit.errors import UsageError
from genkit.threefry import written_out
from genkit.tree import register_dataclass

Array = jax.Array
PyTree = Any


@dataclass(frozen=True, kw_only=True)
class Move:
    """What all have: `step`, `accept`, `algorithm`, and how coordinates are scaled."""

    diagonal: bool = field(default=False, metadata={"static": True})
    """Scale by the standard deviation of each coordinate, not by the whole covariance: sooner, and safer where there
    are more dimensions than some tenth of the particles."""

    longest: ClassVar[Any] = np.inf
    """Step up to which it is adapted."""

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
    """Hamiltonian Monte Carlo with trajectories of random length.

    On a normal target of unit covariance a trajectory of length T turns a state by the angle T: near pi it comes back
    with the other sign, and x^2 never changes. So lengths vary from move to move (Neal 2011, arXiv 1206.1901, section
    3.2), by a uniform factor on the step; and the adaptation, which sees the acceptance rate, shortens the step as far
    as that asks but lengthens trajectories to a quarter of a turn at most, from where they would only come back.
    """

    step: Any = 0.3
    """To begin with."""
    leapfrog: int = field(default=5, metadata={"static": True})
    """Leapfrog steps, one gradient each; the mean length is `step` times `leapfrog`."""
    accept: Any = 0.7
    """Acceptance rate to which the step is adapted; None keeps it."""
    spread: Any = 0.5
    """Lengths are uniform within this fraction of their mean; 0 makes all equal."""

    @property
    def longest(self) -> float:
        """A quarter of a turn."""
        return np.pi / 2 / self.leapfrog

    def algorithm(self, log_prob: Callable, step: Array, d: int) -> Any:
        """blackjax's algorithm for log_prob (d,) -> ()."""
        import blackjax

        kernel, one = blackjax.hmc.build_kernel(), jnp.ones(d)

        def move(key: Array, state: Any) -> Any:
            size, rest = jax.random.split(key)
            factor = jax.random.uniform(size, (), one.dtype, 1 - self.spread, 1 + self.spread)
            return kernel(rest, state, log_prob, step * factor, one, self.leapfrog)

        return blackjax.SamplingAlgorithm(lambda x: blackjax.hmc.init(x, log_prob), move)  # type: ignore[arg-type]


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
        one = jnp.eye(x.shape[-1], dtype=self.root.dtype)  # inverted once: under vmap a solve a state takes far longer
        return jax.scipy.linalg.solve_triangular(self.root, one, lower=True) @ (x - self.mean)

    def back(self, z: Array) -> Array:
        """(..., d) from these coordinates."""
        return self.mean + (z * self.root if self.root.ndim == 1 else z @ self.root.T)


def flatten(x: PyTree) -> tuple[Array, Callable[[Array], PyTree]]:
    """States, leaves (n, ...) of real numbers, as an array (n, d), and the way back of one of them, (d,)."""
    if bad := {a.dtype.name for a in jax.tree.leaves(x) if not jnp.issubdtype(a.dtype, jnp.floating)}:
        raise UsageError(
            f"MCMC moves need real numbers, got {', '.join(sorted(bad))}; give those states a move of their own"
        )
    _, back = ravel_pytree(jax.tree.map(lambda a: jnp.zeros(a.shape[1:], a.dtype), x))
    return jax.vmap(lambda one: ravel_pytree(one)[0])(x), back


def frame(x: PyTree, log_w: Array, step: Array, move: Move) -> Frame:
    """That of states, leaves (n, ...), with log-weights (n,) of any scale; of equal weights where all are zero."""
    x, _ = flatten(x)
    w = jnp.exp(reweigh(jnp.zeros_like(log_w), log_w)[0])
    x = jnp.where(w[:, None] > 0, x, 0.0)  # those without weight may be anything
    mean = w @ x
    if move.diagonal:
        var = w @ (x - mean) ** 2
        return Frame(mean, jnp.sqrt(var + 1e-6 * var.mean() + 1e-12), step)
    cov = jnp.einsum("i,ij,ik->jk", w, x - mean, x - mean)
    ridge = 1e-6 * jnp.trace(cov) / x.shape[1] + 1e-12
    return Frame(mean, jnp.linalg.cholesky(cov + ridge * jnp.eye(x.shape[1], dtype=x.dtype)), step)


def adapt(move: Move, step: Array, accept: Array) -> Array:
    """Step size for the next move, by the acceptance rate of the last one."""
    return step if move.accept is None else jnp.minimum(step * jnp.exp(2 * (accept - move.accept)), move.longest)


def defined(log_p: Array) -> Array:
    """Log-densities, -inf where they are NaN or +inf: no state is there."""
    return jnp.where(log_p < jnp.inf, log_p, -jnp.inf)


def mutate(
    keys: Array, x: PyTree, log_prob: Callable, move: Move, at: Frame, steps: int, waste_free: bool
) -> tuple[PyTree, Array]:
    """`steps` states after x by MCMC on log_prob, of one state -> (): the last ones, or with x as states all of them.

    Where log_prob is NaN or +inf it counts as -inf.

    Returns:
        x, leaves (m, ...), or (m steps, ...) with x itself as the first of each m (waste-free: steps - 1 moves), and
        the mean acceptance rate of each state's chain.
    """
    flat, back = flatten(x)
    algorithm = move.algorithm(lambda z: defined(log_prob(back(at.back(z)))), at.step, flat.shape[1])

    def chain(key: Array, x: Array) -> tuple[Array, Array]:
        def one(state: Any, k: Array) -> tuple[Any, tuple[Array, Array]]:
            state, info = algorithm.step(k, state)
            return state, (state.position, info.acceptance_rate)

        _, (z, accept) = jax.lax.scan(one, algorithm.init(at.white(x)), jax.random.split(key, steps - waste_free))
        states = at.back(z)
        if waste_free:
            return jnp.concatenate([x[None], states]), jnp.full(steps, accept.mean())
        return states[-1], accept.mean()

    flat, accept = jax.vmap(chain)(written_out(keys), flat)
    if waste_free:
        flat, accept = flat.reshape(-1, flat.shape[-1]), accept.reshape(-1)
    return jax.vmap(back)(flat), accept
