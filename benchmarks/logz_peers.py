"""Tempering of `inverse.logz` beside blackjax and particles: same targets, numbers of states, effective sample sizes.

    genkit bench benchmarks.logz_peers:LogZPeers

needs the plugin inverse; particles is left out where it is not installed. All take their runs in turn. Rows are root
mean square errors of log Z over the runs, medians of the time of a run, and the time at equal error: that of a run
times its squared error, over the same of the peer, as errors fall with the root of the number of states.
"""

import importlib.util
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.bench import Row
from genkit_inverse.estimators import CHAIN, ESTIMATORS, Settings
from genkit_inverse.targets import Funnel, Mixture2D, whitened

STEPS = (0.2, 0.4)  # of blackjax, which does not adapt them; the better one was found by its errors


def of_genkit(name: str, begin: Any, d: int, s: Settings) -> Callable[[int], float]:
    """log Z by one of our estimators."""
    estimator = ESTIMATORS[name](begin, d, s)
    return compiled(lambda key: estimator(key).log_z)


def of_blackjax(step: float, begin: Any, d: int, s: Settings) -> Callable[[int], float]:
    """log Z by blackjax's adaptive tempered SMC, one HMC move a temperature, with a fixed step and unit mass."""
    import blackjax
    from blackjax.smc import extend_params
    from blackjax.smc.resampling import systematic

    hmc = {"step_size": step, "inverse_mass_matrix": jnp.ones(d), "num_integration_steps": s.leapfrog}
    smc = blackjax.adaptive_tempered_smc(
        begin.log_p0, lambda x: begin.log_p(x) - begin.log_p0(x), blackjax.hmc.build_kernel(), blackjax.hmc.init,
        extend_params(hmc), systematic, s.alpha, num_mcmc_steps=s.moves,
    )  # fmt: skip

    def run(key: Any) -> Any:
        def one(carry: Any) -> Any:
            state, log_z, key = carry
            key, now = jax.random.split(key)
            state, info = smc.step(now, state)
            return state, log_z + info.log_likelihood_increment, key

        first = smc.init(jax.vmap(begin.draw)(jax.random.split(key, s.particles)))
        return jax.lax.while_loop(lambda c: c[0].tempering_param < 1, one, (first, jnp.zeros(()), key))[1]

    return compiled(run)


def of_particles(begin: Any, d: int, s: Settings) -> Callable[[int], float]:
    """log Z by the waste-free adaptive tempering of particles, chains of random walks; the density compiled by jax."""
    import particles
    from particles import distributions, smc_samplers

    ratio = jax.jit(jax.vmap(lambda x: begin.log_p(x) - begin.log_p0(x)))

    class Target(smc_samplers.StaticModel):
        def loglik(self, theta, t=None):
            return np.asarray(ratio(theta["x"]), np.float64)

    prior = distributions.StructDist({"x": distributions.MvNormal(cov=np.eye(d))})

    def run(seed: int) -> float:
        np.random.seed(seed)  # particles draws from numpy's own state
        fk = smc_samplers.AdaptiveTempering(model=Target(prior=prior), len_chain=CHAIN, ESSrmin=s.alpha)
        smc = particles.SMC(fk=fk, N=s.particles // CHAIN, resampling="systematic")
        smc.run()
        return smc.logLt

    return run


def compiled(run: Callable[[Any], Any]) -> Callable[[int], float]:
    """A function of a key as one of a seed."""
    program = jax.jit(run).lower(jax.random.key(0)).compile()
    return lambda seed: float(program(jax.random.key(seed)))


@dataclass(frozen=True)
class LogZPeers:
    """Error and time of tempering, and of tempering by others."""

    def measure(self, profile: str) -> Iterator[Row]:
        """On the mixture in the plane and on the funnel, whose log Z are 0."""
        n, seeds = (100, 2) if profile == "smoke" else (8000, 40)
        settings = Settings(n, 0.9, 5, 1, 1, 1)
        for target in (Mixture2D().load(), Funnel()):
            begin, d, where = whitened(target), target.dim, f"{type(target).__name__.lower()}, {n} states"
            calls = {f"genkit {name}": of_genkit(name, begin, d, settings) for name in ("tempering", "waste_free")}
            calls |= {f"blackjax, step {step}": of_blackjax(step, begin, d, settings) for step in STEPS}
            if importlib.util.find_spec("particles"):
                calls["particles"] = of_particles(begin, d, settings)
            values: dict[str, list[float]] = {who: [] for who in calls}
            times: dict[str, list[float]] = {who: [] for who in calls}
            for call in calls.values():
                call(0)  # the first one is not timed
            for seed in range(seeds):
                for who, call in calls.items():
                    start = time.perf_counter()
                    values[who].append(call(seed))
                    times[who].append(time.perf_counter() - start)
            cost = {}
            for who in calls:
                error, seconds = float(np.sqrt(np.mean(np.square(values[who])))), float(np.median(times[who]))
                cost[who] = seconds * error**2
                yield Row(f"{where}: {who}, error of log Z", error, "nats")
                yield Row(f"{where}: {who}", seconds, "s")
            for who in list(calls)[2:]:
                yield Row(f"{where}: time of genkit tempering at equal error", cost["genkit tempering"] / cost[who],
                          f"x {who}")  # fmt: skip
