"""Normal data, where likelihoods and detection have closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from genkit.diffusion import VP


def flow_of_gaussian(process: Any, x: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """What `flow_log_prob` is for N(mean, diag variance) and its exact score, (n,) float64.

    P_t = alpha^2 v + sigma^2 is the variance of a state, and the flow keeps (x_t - alpha m) / sqrt(P_t): the density of
    where it ends under the prior, and half the log of the change of P. It has the errors of the method, that the data
    are states at the lowest time and that the prior is not the law at the highest.
    """
    first, last = process.t_min, process.t_max
    a0, a1 = float(process.alpha(first)), float(process.alpha(last))
    p0, p1 = (float(process.alpha(t)) ** 2 * variance + float(process.sigma(t)) ** 2 for t in (first, last))
    prior = 1.0 if isinstance(process, VP) else float(process.sigma(last))
    z = a1 * mean + np.sqrt(p1 / p0) * (x - a0 * mean)
    return stats.norm.logpdf(z, 0, prior).sum(-1) + 0.5 * np.log(p1 / p0).sum()


def moved(d: int, square: float) -> dict[str, float]:
    """Scores of log N(0, I_d) on N(0, I) against N(delta, I) with |delta|^2 = `square`: AUROC and fpr95_id.

    |x|^2 is chi^2 with d degrees of freedom, and non-central for the unknown; P(one < other) is an integral.
    """
    grid = stats.chi2(d).ppf((np.arange(20_000) + 0.5) / 20_000)
    unknown = stats.ncx2(d, square)
    return {
        "auroc": float(1 - unknown.cdf(grid).mean()),
        "fpr95_id": float(unknown.cdf(stats.chi2(d).ppf(0.95))),
    }


def scaled(d: int, variance: float) -> dict[str, float]:
    """The same against N(0, variance I): AUROC, which is under 1/2 for variance < 1, and both rates.

    The ratio of the two |x|^2 has an F distribution.
    """
    chi = stats.chi2(d)
    return {
        "auroc": float(stats.f(d, d).cdf(variance)),
        "fpr95_id": float(chi.cdf(chi.ppf(0.95) / variance)),
        "fpr95_ood": float(1 - chi.cdf(variance * chi.ppf(0.05))),
    }
