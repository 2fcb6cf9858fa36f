"""Decoupled diffusion sequential Monte Carlo for discrete data whose sites are measured one by one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from genkit.chain import callable_tree
from genkit.discrete import Denoiser, Interval, Particle, Posterior, Process, Setting, Step, categorical
from genkit.errors import UsageError
from genkit.steer.method import Steps, Table, first_rest
from genkit.tree import register_dataclass

Array = jax.Array

CHAINS = ("decoupled", "ancestral")


@dataclass(frozen=True)
class D3SMC:
    """D3SMC (Ekstrom Kelvinius, Zhao and Lindsten, ICML 2025, arXiv 2502.06379): DDSMC for discrete data.

    The chain is x_t ~ sum_i p(x_0 = i | x_{t+1}) q(x_t | x_0 = i), site by site, with any process of
    `genkit.discrete`: a uniform one, masks, or one that is absorbed in a class. The target is this chain times the
    likelihood of y if every site were drawn from p(x_0 | x_t) on its own, the proposal the chain with x_0 given y.
    T network calls a particle, no derivative. The evidence is that of the chain, whose sites are independent within a
    step, which is an approximation to the data for every number of steps.

        table = D3SMC(steps=50).table(process)
        draws = posterior(key, table, denoiser, channel(y, flips, seen), groups=16, particles=64)
    """

    steps: int | None = None
    """Network calls; none is all of a chain in discrete time."""
    chain: Literal["decoupled", "ancestral"] = "decoupled"
    """Forget the state when x_0 is known, or the reverse step of D3PM (arXiv 2107.03006, eq. 4)."""

    def __post_init__(self) -> None:
        """Check the fields."""
        if self.chain not in CHAINS:
            raise UsageError(f"chain={self.chain!r} is unknown; known: {', '.join(CHAINS)}")

    def table(self, process: Process) -> Table:
        """Levels of all steps, float64."""
        if not isinstance(process, Process) or isinstance(process.log_prior, Tracer):
            raise UsageError(
                f"{type(process).__name__} is no process of genkit.discrete outside jit; make the table of D3SMC by "
                "table(process) and give it to posterior"
            )
        times = process.grid(self.steps)
        bars, between = process.intervals(times)
        bars, between = jax.tree.map(lambda a: a[:-1], (bars, between))
        times, (first, after) = times[:-1], first_rest(bars)
        kernel = Conditioned(process=process, chain=self.chain)
        moves = (
            Interval(
                times[1:],  # type: ignore[arg-type]
                jax.tree.map(lambda a: a[:-1], bars),
                after,
                between,
            ),
        )
        return Table((kernel,), (times[0], first), moves, times[:1])

    def calls(self, process: Process) -> int:
        """Network calls of one particle."""
        return len(process.grid(self.steps)) - 1


@register_dataclass
@dataclass(frozen=True)
class Channel:
    """What was measured of classes x_0, site by site and independently; made by `channel`."""

    log_r: Any
    """(*shape, K) log-probability of what a site gave, if its class is k; 0 where nothing was measured"""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an item."""
        return self.log_r.shape[:-1]

    @property
    def classes(self) -> int:
        """K."""
        return self.log_r.shape[-1]


def channel(y: Any, table: Any, seen: Any = None) -> Channel:
    """A measurement by a noisy channel, such as bits that flip, checked.

    Args:
        y: measured symbols, an item's shape, int 0..M-1; of any value where not `seen`.
        table: (K, M), or (*shape, K, M) by site: probability of each symbol for each class; rows sum to 1.
        seen: bool, shape of y, which sites were measured; all if not given.
    """
    y, table = np.asarray(y), np.asarray(table, np.float64)
    seen = np.ones(y.shape, bool) if seen is None else np.asarray(seen, bool)
    if table.ndim < 2 or table.shape[:-2] not in ((), y.shape):
        raise UsageError(f"table has shape {table.shape}; expected (K, M), or {(*y.shape, 'K', 'M')} by site")
    if not (table >= 0).all() or not np.allclose(table.sum(-1), 1):
        raise UsageError("the rows of table must be probabilities that sum to 1, one row a class")
    if seen.shape != y.shape or not seen.any():
        raise UsageError(f"seen has shape {seen.shape} and {seen.sum()} sites; expected {y.shape} with one at least")
    symbols = table.shape[-1]
    if not np.issubdtype(y.dtype, np.integer) or ((y[seen] < 0) | (y[seen] >= symbols)).any():
        raise UsageError(f"y has other values than the integers 0 to {symbols - 1}, the columns of table")
    place = np.where(seen, y, 0)[..., None, None]
    r = np.take_along_axis(np.broadcast_to(table, (*y.shape, *table.shape[-2:])), place, -1)[..., 0]
    with np.errstate(divide="ignore"):
        return Channel(np.where(seen[..., None], np.log(r), 0.0))


@register_dataclass
@dataclass(frozen=True)
class Decoupled(Step):
    """p(x_s | x_t) = sum_i p(x_0 = i | x_t) q(x_s | x_0 = i): a draw of x_0, noised anew, which forgets x_t."""

    def rule(self, process: Process, x: Array, logits: Array, u: Interval) -> Array:
        """log p(x_s | x_t)."""
        return process.push(u.earlier, logits)


@register_dataclass
@dataclass(frozen=True)
class Given:
    """Laws of x_0 that a denoiser gave, under a measurement."""

    log_r: Array
    """(*shape, S)"""

    def joint(self, p: Particle) -> Array:
        """log p(x_0i = k | x_t) R[k, y_i], (n, *shape, S)."""
        if not isinstance(p.logits, jax.Array):
            raise UsageError("D3SMC needs one law of x_0 at each site; the denoiser answers with several experts")
        return p.logits + self.log_r

    def log_lik(self, p: Particle) -> Array:
        """log of the surrogate prod_i sum_k p(x_0i = k | x_t) R[k, y_i], (n,)."""
        return jax.nn.logsumexp(self.joint(p), -1).reshape(len(p.x), -1).sum(1)

    def law(self, p: Particle) -> Array:
        """log p(x_0 | x_t, y), (n, *shape, S), site by site; as it was where it excludes what was measured."""
        joint, before = self.joint(p), jnp.asarray(p.logits)
        possible = (joint > -jnp.inf).any(-1, keepdims=True)
        return jax.nn.log_softmax(jnp.where(possible, joint, before))

    def condition(self, p: Particle) -> Particle:
        """The particle as if the denoiser had said that."""
        return replace(p, logits=self.law(p))

    def gain(self, p: Particle, p1: Particle) -> Array:
        """log of the ratio of surrogates; a particle that met zero stays there."""
        before = self.log_lik(p)
        return jnp.where(before > -jnp.inf, self.log_lik(p1) - before, -jnp.inf)


@register_dataclass
@dataclass(frozen=True, kw_only=True)
class Conditioned(Steps):
    """A step of the chain, with p(x_0 | x_t, y) in place of p(x_0 | x_t), and the weight that makes up for it.

    The end, x_0 ~ p(x_0 | x_1, y), would weigh R p / r over the surrogate, which is one.
    """

    name = "D3SMC"
    evidence = True

    process: Any = None
    chain: Literal["decoupled", "ancestral"] = field(default="decoupled", metadata={"static": True})
    step: Any = None
    law: Any = None
    """`Given` of the measurement"""

    def check(self, observation: Channel) -> None:
        """Refuse a channel of other classes."""
        if observation.classes != self.process.data_classes:
            raise UsageError(
                f"the channel has {observation.classes} classes, the process {self.process.data_classes}; "
                "expected the same"
            )

    def given(self, process: None, denoiser: Denoiser, observation: Channel, cond: Any) -> Conditioned:
        """The kernel for a denoiser and a measurement."""
        self.check(observation)
        # no value that a site can have in noise alone, such as the mask symbol, is a value of x_0
        unused = ((0, 0),) * len(observation.shape) + ((0, self.process.states - observation.classes),)
        law = Given(jnp.pad(jnp.asarray(observation.log_r, float), unused))
        setting = Setting(callable_tree(denoiser), cond, self.process, np.array(True))
        return replace(self, law=law, step={"decoupled": Decoupled, "ancestral": Posterior}[self.chain](setting))

    def begin(self, keys: Array, first: tuple[Any, Any]) -> tuple[Particle, Array]:
        """Noise, weighed by the surrogate."""
        shape = (len(keys), *self.law.log_r.shape[:-1], self.process.states)
        return self.arrive(categorical(keys, jnp.broadcast_to(self.process.log_prior, shape)), first)

    def arrive(self, x: Array, first: tuple[Any, Any]) -> tuple[Particle, Array]:
        """The particle of a state (n, *shape) at the first time, and its weight."""
        p = self.step.setting.arrive(x, jnp.asarray(first[0], float), first[1])
        return p, self.law.log_lik(p)

    def move(self, keys: Array, p: Particle, u: Interval) -> Particle:
        """Draw and call the denoiser."""
        return self.step.move(keys, self.law.condition(p), u)

    def log_g(self, p: Particle, p1: Particle, u: Interval) -> Array:
        """Ratio of the surrogates times that of chain and proposal."""
        return self.law.gain(p, p1) + self.step.log_prob(p, p1, u) - self.log_prob(p, p1, u)

    def log_prob(self, p: Particle, p1: Particle, u: Interval) -> Array:
        """log r, (n,)."""
        return self.step.log_prob(self.law.condition(p), p1, u)

    def end(self, keys: Array, p: Particle, last: Any) -> Array:
        """x_0, int32 (n, *shape)."""
        return categorical(keys, self.law.law(p))
