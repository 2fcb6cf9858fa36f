"""PDDS: the reverse of a diffusion of an unnormalised density, under guessed potentials that its weights correct.

Phillips, Dau, Hutchinson, De Bortoli, Deligiannidis, Doucet 2024 (arXiv 2402.06320). Ornstein-Uhlenbeck noise takes the
density p on R^d to N(0, I), which it leaves as it is: x_t ~ N(sqrt(1 - lam) x_0, lam I). Its marginals are
N(x; 0, I) g_t(x) with g_0 = p / N(0, I) and g_t(x) = E[g_0(x_0) | x_t = x], an integral that is guessed:

| potential | log g at level lam | evaluations of p |
|---|---|---|
| `NaivePotential` | log g_0(sqrt(1 - lam) x) | 1 |
| `MonteCarloPotential` | log of the mean of g_0 at m draws of x_0 given x | m |
| learned | a network between the naive one and its own, see the plugin inverse | 1 |

A potential is a callable pytree (x (n, d), lam () or (n,)) -> (n,). Z is unbiased under any that is zero nowhere but
where g_t is, as at lam = 0 stands g_0 itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import Kernel, Model, State, callable_tree, run, start
from genkit.errors import UsageError
from genkit.smc import Resample, defined
from genkit.tree import register_dataclass

Array = jax.Array
OFFSET = 0.008  # of the cosine schedule: Nichol and Dhariwal 2021


@dataclass(frozen=True)
class PDDS:
    """The particle denoising diffusion sampler.

    log Z of p (d,) -> () and weighted samples of it. Coordinates should be such that p is not far from N(0, I).
    """

    steps: int = 32
    """From noise to the density, on a cosine schedule."""
    moves: int = 0
    """MALA moves of each particle before a step, at its level."""
    move_step: float = 0.3
    """Their step size, in units of the variance lam of what the noise of the level adds."""
    threshold: float = 0.3
    """Fraction of n below which the effective sample size leads to resampling."""

    def __post_init__(self) -> None:
        """Check the fields."""
        if self.steps < 1 or self.moves < 0 or self.move_step <= 0 or not 0 <= self.threshold <= 1:
            raise UsageError(
                f"steps={self.steps} must be at least 1, moves={self.moves} at least 0, move_step={self.move_step} "
                f"above 0, threshold={self.threshold} in [0, 1]"
            )

    def run(self, key: Array, n: int, log_p: Callable, d: int, potential: Callable | None = None) -> State:
        """n weighted particles at p, `State.p.x` (n, d), and `log_z`; without a potential by the naive one."""
        model = self.model(log_p, d, potential)
        return run(key, start(key, model, n), model.stages, Resample("systematic", self.threshold))[0].warned("PDDS")

    def model(self, log_p: Callable, d: int, potential: Callable | None = None) -> Model:
        """As a chain."""
        log_p = callable_tree(log_p)
        g = NaivePotential(log_p) if potential is None else callable_tree(potential)
        lam = self.noise(np.linspace(1, 0, self.steps + 1))
        grid = Grid(lam[:-1], lam[1:], (lam[:-1] - lam[1:]) / (1 - lam[1:]))
        before, last = jax.tree.map(lambda a: a[:-1], grid), jax.tree.map(lambda a: a[-1:], grid)
        end = (Reverse(g, Exact(log_p), self.move_step, self.moves), last)
        others = ((Reverse(g, g, self.move_step, self.moves), before),) if self.steps > 1 else ()
        return Model(Begin(g, d), (*others, end))

    @staticmethod
    def noise(t: Any, xp: Any = np) -> Any:
        """lam at time t in [0, 1], exactly 0 at 0; `xp` is numpy or jax.numpy."""
        return xp.where(t == 0, 0.0, xp.sin(np.pi / 2 * (t + OFFSET) / (1 + OFFSET)) ** 2)

    def calls(self) -> int:
        """Values of the potential, with its gradient, of one particle."""
        return 1 + self.steps * (1 + self.moves)


@register_dataclass
@dataclass(frozen=True)
class Particle:
    """A state with the potential of its level, and the gradient."""

    x: Array
    """(n, d)"""
    log_g: Array
    """(n,)"""
    grad: Array
    """(n, d)"""
    gain: Array
    """(n,) log-weight of the step by which it came"""


@register_dataclass
@dataclass(frozen=True)
class Grid:
    """lam of the level that a step leaves, of that at which it arrives, and of the noise between, each (T,)."""

    leaves: Any
    arrives: Any
    between: Any


@register_dataclass
@dataclass(frozen=True)
class Begin:
    """N(0, I), weighed by the potential of pure noise."""

    potential: Any
    d: int = field(metadata={"static": True})

    def __call__(self, keys: Array) -> tuple[Particle, Array]:
        """Particles and their first weights."""
        x = jax.vmap(lambda key: jax.random.normal(key, (self.d,)))(keys)
        log_g, grad = with_gradient(self.potential, x, jnp.ones(()))
        return Particle(x, log_g, grad, log_g), log_g


@register_dataclass
@dataclass(frozen=True)
class Reverse(Kernel):
    """One step of the reverse: MALA at the level that it leaves, then a drift by the gradient of its potential."""

    leaves: Any
    arrives: Any
    move_step: Any
    moves: int = field(metadata={"static": True})

    def move(self, keys: Array, p: Particle, u: Grid) -> Particle:
        """x_s ~ q = N(sqrt(1 - lam) x + lam grad log g_t, lam I) gains N(sqrt(1 - lam) x, lam I) g_s / (q g_t)."""
        noise_keys, mala_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
        if self.moves:
            p = langevin(mala_keys, p, self.leaves, u.leaves, self.move_step * u.leaves, self.moves)
        z = jax.vmap(lambda key: jax.random.normal(key, p.x.shape[1:]))(noise_keys)
        root = jnp.sqrt(u.between)
        x = jnp.sqrt(1 - u.between) * p.x + u.between * p.grad + root * z
        log_g, grad = with_gradient(self.arrives, x, u.arrives)
        ratio = -jnp.sum(0.5 * u.between * p.grad**2 + root * p.grad * z, 1)
        gain = jnp.where(p.log_g == -jnp.inf, -jnp.inf, ratio + log_g - p.log_g)
        return Particle(x, log_g, grad, gain)

    def log_g(self, p: Particle, p1: Particle, u: Grid) -> Array:
        """What they gained."""
        return p1.gain


def langevin(keys: Array, p: Particle, potential: Any, lam: Array, step: Array, moves: int) -> Particle:
    """MALA moves at N(x; 0, I) g(x); none goes where g is NaN or +inf."""
    import blackjax
    from blackjax.mcmc.mala import MALAState

    def log_prob(x: Array) -> Array:
        return standard_normal(x) + defined(potential(x[None], lam)[0])

    algorithm = blackjax.mala(log_prob, step)  # type: ignore[operator]

    def chain(key: Array, x: Array, log_g: Array, grad: Array) -> Any:
        begin = MALAState(x, standard_normal(x) + log_g, grad - x)  # type: ignore[arg-type]
        return jax.lax.scan(lambda s, k: (algorithm.step(k, s)[0], None), begin, jax.random.split(key, moves))[0]

    end = jax.vmap(chain)(keys, p.x, p.log_g, p.grad)
    x = end.position
    return Particle(x, end.logdensity - standard_normal(x), end.logdensity_grad + x, p.gain)


def with_gradient(potential: Any, x: Array, lam: Array) -> tuple[Array, Array]:
    """log g (n,) and its gradient (n, d)."""
    log_g, pull = jax.vjp(lambda x: potential(x, lam), x)
    return log_g, pull(jnp.ones_like(log_g))[0]


def standard_normal(x: Array) -> Array:
    """log N(x; 0, I), (...) for x (..., d)."""
    return -0.5 * jnp.sum(x**2, -1) - 0.5 * x.shape[-1] * jnp.log(2 * jnp.pi)


def log_g0(log_p: Callable, x: Array) -> Array:
    """log p - log N(0, I), (n,) for x (n, d)."""
    return jax.vmap(log_p)(x) - standard_normal(x)


def column(lam: Array) -> Array:
    """(1, 1) or (n, 1), beside x (n, d)."""
    return jnp.atleast_1d(lam)[:, None]


@register_dataclass
@dataclass(frozen=True)
class Exact:
    """g_0 itself, the potential at lam = 0."""

    log_p: Any

    def __call__(self, x: Array, lam: Array) -> Array:
        """(n,)"""
        return log_g0(self.log_p, x)


@register_dataclass
@dataclass(frozen=True)
class NaivePotential:
    """g_0 at the x_0 that is expected without regard to it."""

    log_p: Any
    """(d,) -> (), a callable pytree"""

    def __call__(self, x: Array, lam: Array) -> Array:
        """(n,)"""
        return log_g0(self.log_p, jnp.sqrt(1 - column(lam)) * x)


@register_dataclass
@dataclass(frozen=True)
class MonteCarloPotential:
    """Mean of g_0 over m draws of x_0 without regard to it, by the same noise for all particles and levels."""

    log_p: Any
    """(d,) -> (), a callable pytree"""
    noise: Any
    """(m, d), normal"""

    def __call__(self, x: Array, lam: Array) -> Array:
        """(n,)"""
        lam = column(lam)
        values = jax.vmap(lambda z: log_g0(self.log_p, jnp.sqrt(1 - lam) * x + jnp.sqrt(lam) * z))(self.noise)
        return jax.nn.logsumexp(values, axis=0) - jnp.log(len(self.noise))
