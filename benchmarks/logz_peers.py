"""Tempering of `inverse.logz` beside blackjax: same targets, particles, leapfrog steps, effective sample sizes.

    genkit bench benchmarks.logz_peers:LogZPeers

needs the plugin inverse. Rows are root mean square errors of log Z over runs; time is of a run.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.bench import Row, Timed
from genkit_inverse.estimators import ESTIMATORS, Settings
from genkit_inverse.targets import Funnel, Mixture2D, whitened


def of_blackjax(begin: Any, d: int, s: Settings) -> Callable[[Any], Any]:
    """log Z by blackjax's adaptive tempered SMC, one HMC move a temperature, with a fixed step and unit mass."""
    import blackjax
    from blackjax.smc import extend_params
    from blackjax.smc.resampling import systematic

    hmc = {"step_size": 0.2, "inverse_mass_matrix": jnp.ones(d), "num_integration_steps": s.leapfrog}
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

    return run


@dataclass(frozen=True)
class LogZPeers:
    """Error and time of a run of tempering, divided by those of blackjax."""

    def measure(self, profile: str) -> Iterator[Row | Timed]:
        """On the mixture in the plane and on the funnel."""
        n, seeds = (100, 2) if profile == "smoke" else (8000, 10)
        settings, key = Settings(n, 0.9, 5, 1, 1, 1), jax.random.key(0)
        for name, target in (("mixture2d", Mixture2D().load()), ("funnel", Funnel())):
            begin, errors = whitened(target), {}
            mine = ESTIMATORS["tempering"](begin, target.dim, settings)
            ours = jax.jit(lambda key, mine=mine: mine(key).log_z).lower(key).compile()
            theirs = jax.jit(of_blackjax(begin, target.dim, settings)).lower(key).compile()
            for who, call in (("genkit", ours), ("blackjax", theirs)):
                values = np.array([call(jax.random.key(i)) for i in range(seeds)])
                errors[who] = float(np.sqrt((values**2).mean()))
                yield Row(f"{name}, {n} particles: error of log Z of {who}", errors[who], "nats")
            yield Timed(f"{name}, {n} particles", lambda f=ours: f(key), {}, ("blackjax", lambda f=theirs: f(key)))
