"""What nearly all samplers share: their steps are linear in the state, in denoised values and in fresh noise.

Divided by alpha, the state of every process is data plus noise of level s = sigma / alpha. A sampler is written once,
as in its paper, in these units: `step` gets symbols for the state and for the denoised values so far and returns the
next state as a linear combination of them. It runs once, in numpy float64, for all steps together; what comes out is
a table of coefficients, in the units of the process at hand, and one compiled loop serves all samplers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from genkit.chain import Model
from genkit.diffusion.denoiser import Denoiser, process_of
from genkit.diffusion.grids import PURE, TimeGrid, check_levels
from genkit.diffusion.process import EDM, Process
from genkit.diffusion.samplers.table import Calls, Table
from genkit.errors import UsageError


class Sum:
    """A linear combination of named quantities, coefficients (T,) float64: one for each of T steps."""

    __array_ufunc__ = None  # numpy arrays on the left leave the multiplication to this class

    def __init__(self, terms: dict[Any, Any]):
        self.terms = terms

    def __add__(self, other: Sum) -> Sum:
        names = {**self.terms, **other.terms}
        return Sum({n: self.terms.get(n, 0.0) + other.terms.get(n, 0.0) for n in names})

    def __mul__(self, factor: Any) -> Sum:
        return Sum({n: c * factor for n, c in self.terms.items()})

    __rmul__ = __mul__

    def __neg__(self) -> Sum:
        return self * -1.0

    def __sub__(self, other: Sum) -> Sum:
        return self + -other

    def __truediv__(self, divisor: Any) -> Sum:
        return self * (1.0 / np.asarray(divisor))


@dataclass(frozen=True)
class Levels:
    """Where the steps go, arrays (T,) float64, and the symbol of the noise that is drawn in each."""

    s: np.ndarray
    """noise level sigma / alpha at the beginning of the step"""
    s1: np.ndarray
    """level at its end, lower"""
    before: tuple[np.ndarray, ...]
    """levels one step earlier, two steps earlier, ...; infinite where there was none"""
    t: np.ndarray
    """time of `s`"""
    t1: np.ndarray
    """time of `s1`"""
    process: Process
    eps: Sum
    """standard normal noise"""


@dataclass(frozen=True)
class LinearSampler(TimeGrid):
    """Base of the samplers here: a subclass writes `step`."""

    final: bool = True
    """End with the denoised value (the step to level zero); else with the state at sigma_min."""

    past = 0  # denoised values of earlier steps that `step` looks at, beside the one at the state
    past_noise = False  # look at the noise (x - D)/s that they were taken for instead

    def step(self, x: Sum, d: list[Sum], at: Levels, denoise: Callable[[Sum, Any], Sum]) -> Sum:
        """The state at level `at.s1` from the state `x` at level `at.s`, both divided by alpha.

        `d[0]` is the denoised value at x, `d[k]` that of k steps before (with `past_noise` the noise); `denoise(y, s)`
        is a further network call at a state y of level s. In the first steps, whose `at.before` is infinite, d[k]
        repeats d[0].
        """
        raise NotImplementedError(f"{type(self).__name__} has no step")

    def churned(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Levels to which fresh noise raises the levels s, and its standard deviation; None without."""
        return s, None

    def table(self, process: Process = EDM()) -> Table:
        """Coefficients of all steps, float64."""
        return self._table(process, self.time_grid(process), self.final)

    def inversion(self, process: Process = EDM()) -> Table:
        """Coefficients of the way back, from the lowest level to the highest, float64; for `invert`."""
        table = self._table(process, self.time_grid(process)[::-1], False)
        if table.steps.noise is not None and not (table.steps.noise == 0).all():
            raise UsageError(f"{self} adds noise, so it has no way back; take a sampler of the ODE")
        return table

    def _table(self, process: Process, t: np.ndarray, final: bool) -> Table:
        s = np.asarray(process.ratio(t), np.float64)
        raised, fresh = self.churned(s)
        if fresh is not None and not final:  # end at the lowest level itself
            raised, fresh = np.append(raised[:-1], s[-1]), np.append(fresh[:-1], 0.0)
        if fresh is not None:
            check_levels(process, float(raised.max()))
        when = t if fresh is None else np.asarray(process.time(raised), np.float64)
        alpha = np.asarray(process.alpha(when), np.float64)
        before = tuple(np.concatenate([np.full(k, np.inf), raised])[: len(s) - 1] for k in range(1, self.past + 1))
        eps = Sum({"eps": 1.0})
        at = Levels(raised[:-1], s[1:], before, when[:-1], t[1:], process, eps)

        calls: list[tuple[Sum, np.ndarray, np.ndarray]] = []

        def call(y: Sum, level: Any) -> Sum:
            if "eps" in y.terms:
                raise UsageError(f"{type(self).__name__}.step adds noise before its end; add it to what it returns")
            time = np.asarray(process.time(level + 0 * at.s), np.float64)
            calls.append((y, time, np.asarray(process.alpha(time), np.float64)))
            return Sum({("call", len(calls) - 1): 1.0})

        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            end = self.step(Sum({"x": 1.0}), [Sum({("d", k): 1.0}) for k in range(self.past + 1)], at, call)
        calls.append((end if fresh is None else end + eps * fresh[1:], when[1:], alpha[1:]))

        def column(j: int, name: Any, scale: Any) -> np.ndarray:
            return np.broadcast_to(calls[j][0].terms.get(name, 0.0) * scale, at.s.shape)

        every = range(len(calls))
        scale = [a for _, _, a in calls]
        steps = Calls(
            x=np.stack([column(j, "x", scale[j] / alpha[:-1]) for j in every], 1),
            history=np.stack(
                [np.stack([column(j, ("d", k), scale[j]) for k in range(self.past + 1)], 1) for j in every], 1
            ),
            earlier=np.zeros((len(at.s), len(calls), len(calls) - 1)),
            noise=np.stack([column(j, "eps", scale[j]) for j in every], 1) if "eps" in calls[-1][0].terms else None,
            time=np.stack([time for _, time, _ in calls], 1),
            memory=np.stack([1 / alpha[:-1], -np.ones_like(at.s)], 1) / at.s[:, None] if self.past_noise else None,
        )
        for j in every:
            for k in range(j):
                steps.earlier[:, j, k] = column(j, ("call", j - 1 - k), scale[j])
        if s.max() > 0.99 * PURE:
            size = max(np.abs(a).max(initial=0.0) for a in jax.tree.leaves(replace(steps, time=None, memory=None)))
            if not size < 1e-2 * PURE:
                raise UsageError(
                    f"{type(self).__name__} has no first step from pure noise, whose level is infinite; begin at a "
                    "lower one, or take flow_ode, euler, ddim or dpmpp_2m"
                )
        churn = None if fresh is None else alpha[0] * fresh[0]
        return Table(alpha[0] * s[0], churn, when[0], steps, process, final)

    @property
    def nfe(self) -> int:
        """Network calls for one sample, the one at the beginning included."""
        one = replace(self, times=(2.0, 1.0)).table()  # a step, on a process that has these times
        return 1 + ((len(self.times) or self.steps) - 1) * one.steps.time.size

    def model(self, denoiser: Denoiser, shape: tuple[int, ...], cond: Any = None, noise: Any = None) -> Model:
        """The chain from noise to samples of `shape` (n, ...), for `genkit.chain.run`."""
        return self.table(process_of(denoiser)).model(denoiser, shape, cond, noise)
