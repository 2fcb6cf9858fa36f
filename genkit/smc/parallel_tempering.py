"""Parallel tempering: chains at all temperatures at once, which swap their states."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import Kernel, Model, State, callable_tree, run, start
from genkit.errors import UsageError
from genkit.smc.bridge import bridge
from genkit.smc.moves import HMC, Frame, Move, adapt, defined, frame, mutate
from genkit.smc.tempering import LogProb, log_ratios, tempered, times
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class Ladders:
    """n ladders of one state at each of R exponents."""

    x: Array
    """(n, R, d)"""
    log_ratio: Array
    """(n, R) log p - log p0"""
    accept: Array
    """(n, R) acceptance rates of the last moves; 0 at exponent 0, where there are none"""
    reject: Array
    """(n, R - 1) probabilities that neighbours would not swap, before the last swaps"""
    undefined: Array
    """(n,) int, draws from p0 so far at which p was NaN or +inf"""


@register_dataclass
@dataclass(frozen=True)
class Rungs:
    """`State.shared`: what is tuned."""

    exponents: Array
    """(R,) from 0 to 1"""
    step: Array
    """(R,) step sizes"""
    frames: Frame
    """of each exponent's population, leaves (R, ...)"""
    reject: Array
    """(R - 1,) sum of the mean rejections since the exponents were last set"""
    sweeps: Array
    """() number of these"""


@register_dataclass
@dataclass(frozen=True)
class Begin:
    """All states from p0."""

    draw: Any
    log_p0: Any
    log_p: Any
    rungs: int = field(metadata={"static": True})

    def __call__(self, keys: Array) -> tuple[Ladders, None]:
        """Ladders, no potential."""
        x = jax.vmap(lambda key: jax.vmap(self.draw)(jax.random.split(key, self.rungs)))(keys)
        ratios = jax.vmap(lambda x: log_ratios(self.log_p0, self.log_p, x))(x)
        none = jnp.zeros(ratios.shape)
        return Ladders(x, defined(ratios), none, none[:, 1:], wrong(ratios).sum(1)), None


@register_dataclass
@dataclass(frozen=True)
class Sweep(Kernel):
    """A move at each exponent above 0, fresh draws at 0, then swaps of the even or the odd pairs of neighbours.

    The input is (whether step sizes and scales are tuned, whether exponents are, the parity of the pairs).
    """

    draw: Any
    log_p0: Any
    log_p: Any
    move_by: Move
    steps: int = field(metadata={"static": True})

    def plan(self, key: Array, state: State, u: tuple[Array, Array, Array]) -> tuple[Any, Rungs]:
        """Tune by the population."""
        scale, place, parity = u
        at, p = state.shared, state.p
        at = replace(at, reject=at.reject + p.reject.mean(0), sweeps=at.sweeps + (state.t > 0))
        step = jnp.where(
            scale & (state.t > 0), jax.vmap(lambda s, a: adapt(self.move_by, s, a))(at.step, p.accept.mean(0)), at.step
        )
        now = jax.vmap(lambda x: frame(x, jnp.zeros(x.shape[0]), step[0], self.move_by), in_axes=1)(p.x)
        frames = jax.tree.map(lambda new, old: jnp.where(scale, new, old), now, at.frames)
        fresh = jnp.where(place, 0, at.sweeps)
        exponents = jnp.where(place, equal_rejection(at.exponents, at.reject / jnp.maximum(at.sweeps, 1)), at.exponents)
        at = Rungs(exponents, step, replace(frames, step=step), jnp.where(place, 0, at.reject), fresh)
        return (at.exponents, at.frames, parity), at

    def move(self, keys: Array, p: Ladders, u: tuple[Array, Frame, Array]) -> Ladders:
        """MCMC at p0^(1-b) p^b of all, then swaps."""
        exponents, frames, parity = u
        rungs = exponents.shape[0]

        def at_rung(b: Array, frame: Frame, keys: Array, x: Array) -> tuple[Array, Array]:
            log_prob = tempered(self.log_p0, self.log_p, b)
            return mutate(keys, x, log_prob, self.move_by, frame, self.steps, waste_free=False)

        parts = jax.vmap(lambda key: jax.random.split(key, rungs + 1), out_axes=1)(keys)  # (R + 1, n)
        each = exponents[1:], jax.tree.map(lambda a: a[1:], frames), parts[1:rungs], p.x[:, 1:]
        moved, accept = jax.vmap(at_rung, in_axes=(0, 0, 0, 1), out_axes=1)(*each)
        x = jnp.concatenate([jax.vmap(self.draw)(parts[0])[:, None], moved], 1)
        accept = jnp.pad(accept, ((0, 0), (1, 0)))
        ratio = jax.vmap(lambda x: log_ratios(self.log_p0, self.log_p, x))(x)
        undefined = p.undefined + wrong(ratio[:, 0])
        ratio = defined(ratio)
        # log of the density after a swap over that before
        gain = times(jnp.diff(exponents), ratio[:, :-1]) - times(jnp.diff(exponents), ratio[:, 1:])
        gain = jnp.where(jnp.isnan(gain), -jnp.inf, gain)
        uniform = jax.vmap(lambda key: jax.random.uniform(key, (rungs - 1,)))(parts[-1])
        swap = (jnp.log(uniform) < gain) & (jnp.arange(rungs - 1) % 2 == parity)
        place = jnp.arange(rungs) + jnp.pad(swap, ((0, 0), (0, 1))) - jnp.pad(swap, ((0, 0), (1, 0)))
        x, ratio = jax.vmap(lambda x, ratio, place: (x[place], ratio[place]))(x, ratio, place)
        return Ladders(x, ratio, accept, 1 - jnp.exp(jnp.minimum(gain, 0)), undefined)


def wrong(log_ratio: Array) -> Array:
    """Where p is NaN or +inf, which counts as zero."""
    return ~(log_ratio < jnp.inf)


def equal_rejection(exponents: Array, reject: Array) -> Array:
    """Exponents (R,) between which the cumulative rejection grows evenly, from `reject` (R - 1,) between these."""
    barrier = jnp.concatenate([jnp.zeros(1), jnp.cumsum(reject + 1e-3)])
    return jnp.interp(jnp.linspace(0, 1, exponents.shape[0]) * barrier[-1], barrier, exponents)


@register_dataclass
@dataclass(frozen=True)
class Swapped:
    """What parallel tempering gives."""

    log_z: Array
    """() log of the integral of p over that of p0"""
    error: Array
    """() standard error of it, as if states were independent: too small"""
    x: Array
    """(sweeps, n, d) states at p, in order"""
    exponents: Array
    """(R,)"""
    reject: Array
    """(R - 1,) mean probability that neighbours did not swap; their sum is the barrier between p0 and p"""
    undefined: Array
    """() int, draws from p0 at which p was NaN or +inf; it counted as zero"""


@dataclass(frozen=True)
class ParallelTempering:
    """Non-reversible parallel tempering: Syed, Bouchard-Cote, Deligiannidis, Doucet 2022 (arXiv 1905.02939).

    Even and odd pairs of neighbours swap in turn; the exponents are set so that all are rejected equally often. log Z
    is the sum of bridges between neighbours. n independent ladders share what is tuned, in the first half of the run:
    the exponents at the begins of its rounds but the first, so that the last one goes on at those at which is measured.
    """

    move: Move = HMC()
    rungs: int = 12
    """Exponents from 0 to 1."""
    sweeps: int = 100
    """In which states are kept; as many come before, to tune."""
    steps: int = 1
    """MCMC steps of each state in a sweep."""
    rounds: int = 5
    """How often the exponents are set; one round more tunes the rest alone."""

    def __post_init__(self) -> None:
        """Check the fields."""
        if self.rungs < 2 or self.sweeps <= self.rounds or self.steps < 1 or self.rounds < 1:
            raise UsageError(
                f"rungs={self.rungs} must be at least 2, steps={self.steps} and rounds={self.rounds} at least 1, "
                f"sweeps={self.sweeps} more than rounds"
            )

    def run(self, key: Array, n: int, draw: Callable[[Array], Array], log_p0: LogProb, log_p: LogProb) -> Swapped:
        """n ladders; arguments are those of `Tempering.run`. Outside jit undefined draws are warned of."""
        draw, f0, f = callable_tree(draw), callable_tree(log_p0), callable_tree(log_p)
        exponents = jnp.linspace(0, 1, self.rungs) ** 4
        begin = start(key, Model(Begin(draw, f0, f, self.rungs), ()), n)
        step, none = jnp.full(self.rungs, self.move.step, float), jnp.zeros(self.rungs - 1)
        frames = jax.vmap(lambda x: frame(x, jnp.zeros(n), step[0], self.move), in_axes=1)(begin.p.x)
        begin = replace(begin, shared=Rungs(exponents, step, replace(frames, step=step), none, jnp.zeros((), int)))
        kernel = Sweep(draw, f0, f, self.move, self.steps)
        t = np.arange(2 * self.sweeps)
        tuned = t < self.sweeps
        place = np.isin(t, np.arange(1, self.rounds + 1) * self.sweeps // (self.rounds + 1))
        inputs = (tuned, place, t % 2)
        first, _ = run(key, begin, ((kernel, jax.tree.map(lambda a: a[: self.sweeps], inputs)),))
        first = replace(first, shared=replace(first.shared, reject=none, sweeps=jnp.zeros((), int)))
        end, kept = run(key, first, ((kernel, jax.tree.map(lambda a: a[self.sweeps :], inputs)),), keep=_last)
        x, ratio = kept[0]  # type: ignore[index]
        ratio = ratio.reshape(-1, self.rungs)
        widths = jnp.diff(end.shared.exponents)
        r, error = jax.vmap(bridge)(times(widths[:, None], ratio[:, :-1].T), times(widths[:, None], ratio[:, 1:].T))
        reject = end.shared.reject / jnp.maximum(end.shared.sweeps, 1)
        end = replace(end, undefined=end.p.undefined.sum(dtype=end.undefined.dtype)).warned("ParallelTempering")
        return Swapped(r.sum(), jnp.sqrt((error**2).sum()), x, end.shared.exponents, reject, end.undefined)


def _last(state: State) -> tuple[Array, Array]:
    return state.p.x[:, -1], state.p.log_ratio
