"""Log density of a state by the probability-flow ODE, with the prior of its process."""

from __future__ import annotations

import math
from typing import Any

import jax

from genkit.diffusion import VP, Likelihood, log_likelihood, process_of

Array = Any


def flow_log_prob(key: Array, x: Array, denoiser: Any, cond: Any = None, **options: Any) -> Likelihood:
    """log p of features x (n, d), taken as states of the process at its lowest time (arXiv 2011.13456, eq. 39).

    That is how the code of score-based models reads its data, and the prior is the process's own: N(0, I) at the end of
    VP and sub-VP, N(0, sigma_max^2 I) of VE. `genkit.diffusion.log_likelihood` reads data divided by alpha, and takes
    the noise of the highest level for the prior; the two differ by the change of variables and of the prior made here.

    Each row has its own steps (tsit5, dopri5) or the same ones (rk4, heun), so a value does not depend on the batch.
    One random vector is drawn for all rows; v and -v give the same estimate, so antithetic pairs would gain nothing.

    Args:
        key: for the probes of an estimated trace.
        x: features.
        denoiser: its process has the times of the data and of the prior, `t_min` and `t_max`.
        cond: what it is conditioned on, leaves (n, ...), or None.
        options: `trace`, `probes`, `solver`, `steps`, `tolerance` of `log_likelihood`.
    """
    process, d = process_of(denoiser), x.shape[1]
    first, last = process.t_min, process.t_max
    alpha, sigma = float(process.alpha(first)), float(process.sigma(last))
    keys = jax.random.wrap_key_data(
        jax.numpy.broadcast_to(jax.random.key_data(key), (len(x), *jax.random.key_data(key).shape))
    )
    found = log_likelihood(
        keys, x / alpha, denoiser, cond,
        sigma_min=float(process.ratio(first)), sigma_max=float(process.ratio(last)), **options,
    )  # fmt: skip
    log_p = found.log_p - d * math.log(alpha)
    if isinstance(process, VP):
        log_p = log_p + d * math.log(sigma) + 0.5 * (1 - sigma**2) * (found.latent**2).sum(1)
    return Likelihood(log_p, found.latent)


def calls(solver: str, steps: int) -> int | None:
    """Evaluations of the network in one likelihood; None where steps adapt."""
    return {"rk4": 4 * steps, "heun": 2 * steps}.get(solver)
