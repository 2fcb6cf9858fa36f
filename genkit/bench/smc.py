"""The suite `core.smc`: what resampling and a particle filter cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from genkit.bench.programs import compiled
from genkit.bench.rows import Row, Timed
from genkit.chain import run, start
from genkit.smc import SCHEMES, Resample
from genkit.testing import LinearGaussian

FREE = ("systematic", "stratified", "multinomial", "residual", "ssp", "branching", "killing")


@dataclass(frozen=True)
class SMC:
    """Resampling of 100 000 particles of 16 numbers, and a bootstrap filter of 1000 particles over 50 steps."""

    def measure(self, profile: str) -> Iterator[Row | Timed]:
        """Seconds a resampling, the particles' gather included; filter steps a second and its error."""
        n = 1000 if profile == "smoke" else 100_000
        key = jax.random.key(0)
        log_w, x = jax.random.normal(key, (n,)), jax.random.normal(key, (n, 16))
        for name in FREE:
            scheme = SCHEMES[name]
            f, seconds = compiled(name, lambda key, log_w, x, f=scheme: x[f(key, log_w, n)], key, log_w, x)
            yield seconds
            yield Timed(name, lambda f=f: f(key, log_w, x), {"particles/s": n})

        y = np.sin(np.arange(1, 51))
        model, exact = LinearGaussian().bootstrap(y), LinearGaussian().kalman_loglik(y)
        runs = 200

        def one(key: jax.Array) -> jax.Array:
            return run(key, start(key, model, 1000), model.stages, Resample(threshold=1.0))[0].log_z

        keys = jax.random.split(key, runs)
        filters, seconds = compiled("bootstrap filter", jax.vmap(one), keys)
        yield seconds
        yield Timed("bootstrap filter", lambda: filters(keys), {"particle steps/s": runs * 1000 * len(y)})
        log_z = filters(keys)
        yield Row("bootstrap filter", float(log_z.std()), "standard deviation of log Z")
        error = float(jax.nn.logsumexp(log_z - exact) - jnp.log(runs))
        yield Row("bootstrap filter", error, "log of mean Z, less the exact one", 0.0, 0.15, "Kalman filter")
