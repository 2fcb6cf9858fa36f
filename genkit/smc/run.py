"""`smc`: a Feynman-Kac model in one call, with a result that says what it is worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from genkit.chain import Model, Resampler, State, run, start
from genkit.smc.resampling import Resample, ess
from genkit.smc.variance import log_z_variance
from genkit.tree import register_dataclass

Array = jax.Array
PyTree = Any
HALF = Resample()
BARS = " ▁▂▃▄▅▆▇█"


@register_dataclass
@dataclass(frozen=True)
class SMCResult:
    """The last population of a run, and how it came to be; printed, it says what its numbers are worth."""

    state: State
    log_z_var: Array
    """() estimated variance of `log_z` from this run alone; NaN where it does not tell it (`log_z_variance`)"""
    log_zs: Array
    """(T + 1,) log of the estimated normalising constants from the first population on"""
    ess: Array
    """(T + 1,) effective sample sizes after every weighing"""
    resampled: Array
    """(T + 1,) bool"""
    kept: PyTree
    """what `keep` returned for each step, leaves (T, ...) a stage; None without it"""

    @property
    def log_z(self) -> Array:
        """() log of the estimated normalising constant."""
        return self.state.log_z

    def mean(self, f: Callable[[PyTree], PyTree] = lambda p: p) -> PyTree:
        """Weighted means over the last population of f(particles), leaves (n, ...)."""
        return self.state.mean(f)

    def __repr__(self) -> str:
        """A few lines; of traced values and of many runs the state alone."""
        if isinstance(self.log_z, Tracer) or np.ndim(self.log_z):
            return f"SMCResult({self.state!r})"
        n, sizes, first = len(self.state.log_w), np.asarray(self.ess), np.unique(np.asarray(self.state.eve)).size
        error, often = float(self.log_z_var) ** 0.5, int(self.resampled.sum())
        known = f"{error:.2g}, one standard deviation told from the genealogy"
        unknown = "?, which this run does not tell: resample by 'multinomial', or repeat the run"
        levels = np.ceil(sizes / n * (len(BARS) - 1)).astype(int)
        spots = np.linspace(0, len(sizes) - 1, min(len(sizes), 60)).astype(int)
        lines = {
            f"SMC, {len(sizes) - 1} steps of {n} particles": "",
            "log Z": f"{float(self.log_z):.4f} +- {known if error >= 0 else unknown}",
            "ESS": f"{sizes[-1]:.0f} at the end, {np.median(sizes):.0f} in the middle, {sizes.min():.0f} at the least",
            "": "".join(BARS[level] for level in levels[spots]),
            "resampled": f"{often} times",
            "ancestors": f"{first} of the {n} first particles have descendants",
        }
        told = [f"{name:<12}{words}".rstrip() for name, words in lines.items()]
        return "\n".join(told + [f"{'warning':<12}{trouble}" for trouble in self.state.troubles()])


def smc(
    key: Array,
    model: Model,
    n: int,
    resampler: Resampler | None = HALF,
    keep: Callable[[State], PyTree] | None = None,
) -> SMCResult:
    """Run a model from its first population to its last.

        result = smc(jax.random.key(0), model, 1000)
        print(result)
        result.log_z, result.mean(lambda x: x**2)

    Outside jit what went wrong is warned of (`State.troubles`); under `jax.vmap` over keys it is many runs.

    Args:
        key: the key of the run.
        model: the model.
        n: number of particles.
        resampler: below half the particles by systematic resampling if not given; None never resamples.
        keep: what to keep of each state, such as `lambda state: state.mean()` for filter means or `lambda state:
            state.ancestors` for the genealogy; a function kept between calls.
    """
    first = start(key, model, n)
    last, kept = run(key, first, model.stages, resampler, _Keep(keep))
    told = [stage[0] for stage in kept or ()]
    log_zs, sizes, resampled = jax.tree.map(lambda a, *b: jnp.concatenate([a[None], *b]), _trace(first), *told)
    variance = log_z_variance(last, resampled.sum(), resampler)
    own = None if keep is None else tuple(stage[1] for stage in kept or ())
    return SMCResult(last.warned("smc"), variance, log_zs, sizes, resampled, own)


@dataclass(frozen=True)
class _Keep:
    """The trace of a step, and what else is wanted; equal ones are one program."""

    keep: Callable[[State], PyTree] | None

    def __call__(self, state: State) -> tuple[Any, PyTree]:
        return _trace(state), None if self.keep is None else self.keep(state)


def _trace(state: State) -> tuple[Array, Array, Array]:
    return state.log_z, ess(state.log_w), state.resampled
