"""Estimators of log Z, all called alike: an `Estimate` of a density and its base, at a stated cost.

The cost is counted in evaluations of the target's log density or its gradient. Adaptive samplers cost what they cost;
those whose length is free are given a budget.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp

from genkit.chain import State
from genkit.errors import UsageError
from genkit.smc import HMC, AnnealedImportance, ParallelTempering, PersistentSampling, Tempering
from genkit.steer import PDDS, MonteCarloPotential
from genkit.tree import register_dataclass
from genkit_inverse.models import LearnedPDDS
from genkit_inverse.targets import Beginning

Array = jax.Array
CHAIN = 10  # states of a waste-free chain
RUNGS = 12  # of parallel tempering
LADDERS = 40


@register_dataclass
@dataclass(frozen=True, eq=False)
class Estimate:
    """What a run gives."""

    log_z: Array
    """()"""
    evals: Array
    """() evaluations of the target"""
    x: Array
    """(m, d) states"""
    log_w: Array
    """(m,) their log-weights"""
    undefined: Array
    """() states at which the density was NaN or +inf"""
    unfinished: Array
    """() bool, whether it stopped before it was at the target"""


@dataclass(frozen=True)
class Settings:
    """What all are run with."""

    particles: int
    alpha: float
    leapfrog: int
    moves: int
    steps: int
    draws: int
    budget: float = 0.0
    """evaluations, of those whose length is free"""

    def move(self, d: int) -> HMC:
        """Scaled by the whole covariance where the particles tell it."""
        return HMC(leapfrog=self.leapfrog, diagonal=self.particles < 20 * d)

    def step(self, moves: int) -> int:
        """Evaluations of a particle by so many moves: at the begin, each leapfrog step, and at the end."""
        return moves * self.leapfrog + 2

    def check(self, name: str, d: int) -> None:
        """Refuse fewer particles than twice the dimensions, whose covariance says nothing."""
        if self.particles < 2 * d:
            raise UsageError(
                f"{name}: {self.particles} particles are fewer than twice its {d} dimensions; give at least {2 * d}"
            )


Estimator = Callable[[Array], Estimate]


def _of(state: State, evals: Any, back: Callable[[Array], Array]) -> Estimate:
    evals = jnp.asarray(evals, float)
    return Estimate(state.log_z, evals, back(state.p.x), state.log_w, state.undefined, state.unfinished)


def tempering(b: Beginning, d: int, s: Settings) -> Estimator:
    """Adaptive tempering, all particles moved."""
    sampler = Tempering(s.move(d), s.moves, s.alpha, waste_free=False)

    def run(key: Array) -> Estimate:
        state = sampler.run(key, s.particles, b.draw, b.log_p0, b.log_p)
        return _of(state, s.particles * (1 + state.t * s.step(s.moves)), b.back)

    return run


def waste_free(b: Beginning, d: int, s: Settings) -> Estimator:
    """Adaptive tempering, a tenth of the particles moved, all states kept."""
    n = -(-s.particles // CHAIN) * CHAIN
    sampler = Tempering(s.move(d), CHAIN, s.alpha)

    def run(key: Array) -> Estimate:
        state = sampler.run(key, n, b.draw, b.log_p0, b.log_p)
        return _of(state, n + state.t * (n // CHAIN) * (s.step(CHAIN - 1) + CHAIN - 1), b.back)

    return run


def persistent(b: Beginning, d: int, s: Settings) -> Estimator:
    """Persistent sampling."""
    sampler = PersistentSampling(s.move(d), s.moves, s.alpha, max_steps=60)

    def run(key: Array) -> Estimate:
        state = sampler.run(key, s.particles, b.draw, b.log_p0, b.log_p)
        return _of(state, s.particles * (1 + state.t * s.step(s.moves)), b.back)

    return run


def parallel_tempering(b: Beginning, d: int, s: Settings) -> Estimator:
    """Forty ladders of twelve exponents, as many sweeps as the budget allows, half of them to tune."""
    sampler = ParallelTempering(HMC(leapfrog=s.leapfrog, diagonal=True), RUNGS, steps=s.moves)
    sweeps = max(sampler.rounds + 1, round(s.budget / (2 * LADDERS * RUNGS * s.step(s.moves))))
    sampler = replace(sampler, sweeps=sweeps)

    def run(key: Array) -> Estimate:
        found = sampler.run(key, LADDERS, b.draw, b.log_p0, b.log_p)
        x = b.back(found.x.reshape(-1, d))
        evals = LADDERS * (RUNGS + 2 * sweeps * ((RUNGS - 1) * s.step(s.moves) + 1))
        weights, finished = jnp.zeros(len(x)), jnp.zeros((), bool)
        return Estimate(found.log_z, jnp.asarray(evals, float), x, weights, found.undefined, finished)

    return run


def ais(b: Beginning, d: int, s: Settings) -> Estimator:
    """Annealed importance sampling of an eighth of the particles, as many exponents as the budget allows."""
    n = max(s.particles // 8, 2 * d)
    temperatures = max(2, round(s.budget / (n * s.step(s.moves))))
    sampler = AnnealedImportance(replace(s.move(d), diagonal=n < 20 * d), temperatures, s.moves)

    def run(key: Array) -> Estimate:
        state = sampler.run(key, n, b.draw, b.log_p0, b.log_p)
        return _of(state, n * (1 + temperatures * s.step(s.moves)), b.back)

    return run


def pdds_naive(b: Beginning, d: int, s: Settings) -> Estimator:
    """PDDS with the naive potential, as many particles as the budget allows."""
    sampler = PDDS(s.steps)
    return _naive(sampler, b.log_p, b.back, d, max(10, round(s.budget / sampler.calls())))


def pdds_mc(b: Beginning, d: int, s: Settings) -> Estimator:
    """PDDS with the Monte-Carlo potential, as many particles as the budget allows."""
    sampler = PDDS(s.steps)
    return _monte_carlo(sampler, b.log_p, b.back, d, max(10, round(s.budget / (sampler.calls() * s.draws))), s.draws)


def _naive(sampler: PDDS, log_p: Any, back: Any, d: int, n: int) -> Estimator:
    return lambda key: _of(sampler.run(key, n, log_p, d), n * sampler.calls(), back)


def _monte_carlo(sampler: PDDS, log_p: Any, back: Any, d: int, n: int, draws: int) -> Estimator:
    def run(key: Array) -> Estimate:
        noise = jax.random.normal(jax.random.fold_in(key, 7), (draws, d))
        state = sampler.run(key, n, log_p, d, MonteCarloPotential(log_p, noise))
        return _of(state, n * ((sampler.calls() - 1) * draws + 1), back)  # p itself at the end

    return run


def with_potential(model: LearnedPDDS, name: Literal["naive", "mc"]) -> Callable[[Beginning, int, Settings], Estimator]:
    """PDDS with steps and coordinates of a learned model, but a potential that is not learned."""
    log_p, sampler, back = model.potential.log_p, model.sampler, model.reference.back

    def make(b: Beginning, d: int, s: Settings) -> Estimator:
        if name == "naive":
            return _naive(sampler, log_p, back, d, s.particles)
        return _monte_carlo(sampler, log_p, back, d, s.particles, s.draws)

    return make


def of_model(model: LearnedPDDS) -> Callable[[Beginning, int, Settings], Estimator]:
    """PDDS with a learned potential, in the coordinates of its reference."""

    def pdds(b: Beginning, d: int, s: Settings) -> Estimator:
        evals = model.evals + s.particles * model.sampler.calls()
        return lambda key: _of(model.run(key, s.particles), evals, model.reference.back)

    return pdds


ESTIMATORS: dict[str, Callable[[Beginning, int, Settings], Estimator]] = {
    f.__name__: f for f in (tempering, waste_free, persistent, parallel_tempering, ais, pdds_naive, pdds_mc)
}
FREE = ("parallel_tempering", "ais", "pdds_naive", "pdds_mc")  # whose length follows the budget
