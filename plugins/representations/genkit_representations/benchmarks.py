"""The suite `representations.speed`: likelihoods of features, prototypes counted, training steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.bench import Row, Timed
from genkit.diffusion import EDMDenoiser, SubVP
from genkit.nn import Net
from genkit_representations.density import preprocess
from genkit_representations.models import FeatureDensity, Integrator
from genkit_representations.networks import FeatureMLP
from genkit_representations.prototypes import collapse, koleo


@dataclass(frozen=True)
class Speed:
    """The default density of 64 features, exact trace and one probe; random prototypes of 256 numbers."""

    def measure(self, profile: str) -> Iterator[Row | Timed]:
        """Likelihoods a second, prototypes a second, steps of KoLeo a second."""
        full = profile == "full"
        n, d, k = (1000, 64, 8192) if full else (16, 4, 64)
        x = np.random.default_rng(0).standard_normal((n, d)).astype(np.float32)
        net = Net(FeatureMLP(), (d,))
        params = net.init(jax.random.key(0))
        params["last"]["kernel"] = 0.1 * jax.random.normal(jax.random.key(1), params["last"]["kernel"].shape)
        denoiser = EDMDenoiser(net, params, 1.0, SubVP(b0=0.2, b1=20.0, t_min=1e-2))
        model = FeatureDensity(denoiser, preprocess(x), None, Integrator())
        for name, integrator in (("exact trace", Integrator()), ("one probe", Integrator(trace="rademacher"))):
            one = replace(model, integrator=integrator)
            yield Timed(f"likelihood of {d} features, {name}", lambda m=one: m.log_prob(x), {"features/s": n})
        w = np.random.default_rng(1).standard_normal((k, 256)).astype(np.float32)
        yield Timed(f"M(eps) of {k} prototypes", lambda: collapse(w), {"prototypes/s": k})
        slope: Any = jax.jit(jax.grad(koleo))
        yield Timed(f"KoLeo of {k} prototypes and its gradient", lambda: slope(jnp.asarray(w)), {"steps/s": 1})
