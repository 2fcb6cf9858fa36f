"""Is a set of restored images close to the truth, and is it a posterior?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats
from scipy.special import logsumexp

from genkit.metrics import flatness, psnr, ranks, spread_skill_ratio
from genkit.steer import Observation

LEVELS = {"q05": 0.05, "q50": 0.5, "q95": 0.95}


def pseudo_inverse(observed: Sequence[Observation]) -> np.ndarray:
    """A^+ y of observations by one operator, (n, h, w, c)."""
    return np.asarray(observed[0].operator.pinv(jnp.stack([jnp.asarray(o.y) for o in observed])))


def seen(observed: Sequence[Observation]) -> np.ndarray:
    """Pictures (n, h, w, c) of measurements: y itself where it is an image of this size, else A^+ y."""
    operator = observed[0].operator
    if operator.size != prod(operator.shape):
        return pseudo_inverse(observed)
    return np.stack([np.asarray(o.y).reshape(operator.shape) for o in observed])


def exact(key: Any, prior: Any, observed: Sequence[Observation], draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples (n, draws, h, w, c) of posteriors that the prior knows, and log p(y) (n, 1)."""
    means, covs, log_z = zip(*[prior.posterior(observation) for observation in observed], strict=True)
    root = np.linalg.cholesky(covs[0] + 1e-12 * np.eye(len(covs[0])))  # the same for each y
    x = np.stack(means)[:, None] + np.asarray(jax.random.normal(key, (len(means), draws, len(root)))) @ root.T
    return x.reshape(len(means), draws, *observed[0].operator.shape).astype(np.float32), np.array(log_z)[:, None]


def restored(image: np.ndarray, truth: np.ndarray, peak: float) -> dict[str, np.ndarray]:
    """PSNR of images (n, h, w, c), each (n,), dB."""
    return {"psnr": np.asarray(psnr(image, truth, peak, reduce=(1, 2, 3)))}


def calibration(
    key: Any, x: np.ndarray, truth: np.ndarray, observed: Sequence[Observation], peak: float
) -> dict[str, np.ndarray]:
    """Of samples x (n, m, h, w, c) and truths (n, h, w, c).

    Returns:
        psnr_sample (n,): mean PSNR of a sample, dB.
        rank (n,): of the truth among the samples, 0 to m, along one random direction an image: the n are independent.
        spread_skill (): see `genkit.metrics`.
        residual (n, m): |y - A x| / std.
        dof (): numbers of y, the degrees of freedom of the residual of a posterior.
    """
    n, m = x.shape[:2]
    along, ties = jax.random.split(key)
    direction = np.asarray(jax.random.normal(along, (n, truth[0].size)))
    members = np.einsum("nmd,nd->mn", x.reshape(n, m, -1), direction)
    rank = np.asarray(ranks(ties, members, (truth.reshape(n, -1) * direction).sum(1)), float)
    ax = np.asarray(observed[0].operator(jnp.asarray(x.reshape(-1, *truth.shape[1:])))).reshape(n, m, -1)
    y = np.stack([np.asarray(o.y) for o in observed])
    each = psnr(x, np.broadcast_to(truth[:, None], x.shape), peak, reduce=(2, 3, 4))
    return {
        "psnr_sample": np.asarray(each).mean(1),
        "rank": np.where(np.isfinite(members).all(0), rank, np.nan),
        "spread_skill": np.asarray(spread_skill_ratio(x, truth, axis=1)),
        "residual": np.linalg.norm(y[:, None] - ax, axis=-1) / float(observed[0].std),
        "dof": np.array(y.shape[1]),
    }


def over_chi(residual: np.ndarray, dof: Any, levels: Any) -> np.ndarray:
    """Quantiles of residuals over the same quantiles of chi; 1 for a posterior."""
    return np.quantile(residual, levels) / stats.chi.ppf(levels, dof)


def summary(rows: Mapping[str, np.ndarray], draws: int) -> dict[str, Any]:
    """Results over the images, from what `restored` and `calibration` gave and from what is known of the particles."""
    n = len(rows["psnr"])
    out: dict[str, Any] = {"psnr": rows["psnr"].mean(), "psnr_se": rows["psnr"].std(ddof=1) / n**0.5 if n > 1 else None}
    if "rank" in rows:
        failed = np.isnan(rows["rank"]).any()
        counts = np.bincount(np.nan_to_num(rows["rank"]).astype(int), minlength=draws + 1)
        out["rank_p"] = None if failed else flatness(counts).p_value
        out |= {"psnr_sample": rows["psnr_sample"].mean(), "spread_skill": rows["spread_skill"]}
        out |= {f"residual_{name}": over_chi(rows["residual"], rows["dof"], q) for name, q in LEVELS.items()}
    if "seconds" in rows:
        out["seconds"] = np.median(rows["seconds"])
    if "log_z" in rows:
        out["log_z"] = (logsumexp(rows["log_z"], axis=1) - np.log(rows["log_z"].shape[1])).mean()
    if "ess" in rows:
        told = float(rows["log_z_var"].mean())  # NaN where a group does not tell it
        out |= {
            "ess": rows["ess"].mean(),
            "eves": rows["eves"].mean(),
            "log_z_sd": rows["log_z"].var(axis=1, ddof=1).mean() ** 0.5 if draws > 1 else None,
            "log_z_sd_run": None if np.isnan(told) else told**0.5,
        }
    return out
