"""Is a set of restored images close to the truth, and is it a posterior?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats
from scipy.ndimage import gaussian_filter
from scipy.special import logsumexp

from genkit.errors import DataError, UsageError
from genkit.metrics import flatness, psnr, ranks, spread_skill_ratio
from genkit.steer import Observation, Poisson
from genkit_inverse.operators import Task, pictured

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]
LEVELS = {"q05": 0.05, "q50": 0.5, "q95": 0.95}


def pseudo_inverse(observed: Sequence[Observation]) -> np.ndarray | None:
    """A^+ y of observations by one linear operator, (n, h, w, c)."""
    pinv = getattr(observed[0].operator, "pinv", None)
    return None if pinv is None else np.asarray(pinv(jnp.stack([jnp.asarray(means(o)) for o in observed])))


def seen(task: Any, observed: Sequence[Observation]) -> np.ndarray:
    """Pictures (n, h, w, c) of measurements: y itself where it is one of this size, else A^+ y, else nothing."""
    operator = observed[0].operator
    if pictured(task, operator) and operator.size == prod(operator.shape):
        return np.stack([np.asarray(means(o)).reshape(operator.shape) for o in observed])
    found = pseudo_inverse(observed)
    return np.zeros((len(observed), *operator.shape), np.float32) if found is None else found


def nearest(task: Any, x: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Samples x (n, m, h, w, c), each as that of the images measured the same which is nearest to its truth."""
    if not isinstance(task, Task):
        return x
    same = np.stack([a.reshape(x.shape) for a in task.alike(x.reshape(-1, *x.shape[2:]))])
    far = ((same - truth[:, None]) ** 2).sum((3, 4, 5))
    which = np.argmin(np.where(np.isnan(far), np.inf, far), 0)
    return np.take_along_axis(same, which[None, ..., None, None, None], 0)[0]


def means(observation: Observation) -> np.ndarray:
    """y in the units of A(x): counts over their gain, less the offset."""
    y, noise = np.asarray(observation.y), observation.noise
    return np.asarray(noise.value(y)) if isinstance(noise, Poisson) else y


def exact(key: Any, prior: Any, observed: Sequence[Observation], draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples (n, draws, h, w, c) of posteriors that the prior knows, and log p(y) (n, 1)."""
    means, covs, log_z = zip(*[prior.posterior(observation) for observation in observed], strict=True)
    root = np.linalg.cholesky(covs[0] + 1e-12 * np.eye(len(covs[0])))  # the same for each y
    x = np.stack(means)[:, None] + np.asarray(jax.random.normal(key, (len(means), draws, len(root)))) @ root.T
    return x.reshape(len(means), draws, *observed[0].operator.shape).astype(np.float32), np.array(log_z)[:, None]


def restored(image: np.ndarray, truth: np.ndarray, peak: float, distance: Distance | None = None) -> dict[str, Any]:
    """PSNR (dB), SSIM and by a `distance` LPIPS of images (n, h, w, c), each (n,)."""
    found = {"psnr": np.asarray(psnr(image, truth, peak, reduce=(1, 2, 3))), "ssim": ssim(image, truth, peak)}
    return found if distance is None else found | {"lpips": distance(image, truth)}


def ssim(image: np.ndarray, truth: np.ndarray, peak: float) -> np.ndarray:
    """Structural similarity (n,) of images (n, h, w, c), Wang et al. 2004: windows of 11 x 11, normal of std 1.5.

    The mean over channels and over the cells whose window lies within the image; of images that are smaller than a
    window over all cells, mirrored at the edges.
    """

    def mean(a: np.ndarray) -> np.ndarray:
        return gaussian_filter(a, 1.5, axes=(1, 2), mode="reflect", radius=5)

    x, y = np.asarray(image, np.float64), np.asarray(truth, np.float64)
    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x**2) - mx**2, mean(y**2) - my**2, mean(x * y) - mx * my
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    each = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    inside = each[:, 5:-5, 5:-5] if min(x.shape[1:3]) > 10 else each
    return inside.mean((1, 2, 3))


def lpips(shape: Sequence[int], bounds: tuple[float, float]) -> Distance | None:
    """LPIPS (n,), Zhang et al. 2018, of images (n, *shape) and truths whose black and white are `bounds`.

    By the package `lpips` (AlexNet); None for images of less than 64 cells a side. Grey ones have three equal channels.
    Raises `DataError` where the package is not installed, or its weights cannot be read or fetched.
    """
    if min(shape[:2]) < 64 or shape[2] not in (1, 3):
        return None
    try:
        import lpips as package  # pyright: ignore[reportMissingImports]
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise DataError(f"LPIPS is left out, the package {error.name} is not installed; pip install lpips") from None
    try:
        network = package.LPIPS(net="alex", verbose=False)
    except Exception as error:  # of the net, the disk or torch
        raise DataError(f"LPIPS is left out, its weights are not there: {' '.join(str(error).split())}") from None
    low, high = bounds

    def distance(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
        units = (2 * (a - low) / (high - low) - 1 for a in (image, truth))
        both = [np.broadcast_to(a, (*a.shape[:3], 3)).transpose(0, 3, 1, 2) for a in units]
        with torch.no_grad():
            return network(*(torch.tensor(a, dtype=torch.float32) for a in both)).numpy().reshape(-1)

    return distance


def covered(x: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Share of cells between the k-th least and the k-th largest of m samples x (n, m, ...), over that of a posterior.

    (m // 2,), k = 1 first: (m + 1 - 2 k) / (m + 1) of a posterior.
    """
    m = x.shape[1]
    ordered, k = np.sort(x, 1), np.arange(m // 2)
    inside = [((ordered[:, i] < truth) & (truth < ordered[:, m - 1 - i])).mean() for i in k]
    share = np.array(inside) * (m + 1) / (m - 1 - 2 * k)
    return np.where(np.isfinite(x).all(), share, np.nan)


def calibration(
    key: Any, x: np.ndarray, truth: np.ndarray, observed: Sequence[Observation], peak: float
) -> dict[str, np.ndarray]:
    """Of samples x (n, m, h, w, c) and truths (n, h, w, c).

    Returns:
        psnr_sample (n,): mean PSNR of a sample, dB.
        rank (n,): of the truth among the samples, 0 to m, along one random direction an image: the n are independent.
        spread_skill (): see `genkit.metrics`.
        residual (n, m): |y - A x| / std, or the root of the deviance; NaN without noise.
        dof (): numbers of y, the degrees of freedom of the residual of a posterior.
        covered (m // 2,): see `covered`.
    """
    n, m = x.shape[:2]
    along, ties = jax.random.split(key)
    direction = np.asarray(jax.random.normal(along, (n, truth[0].size)))
    members = np.einsum("nmd,nd->mn", x.reshape(n, m, -1), direction)
    rank = np.asarray(ranks(ties, members, (truth.reshape(n, -1) * direction).sum(1)), float)
    try:
        chi2 = np.stack([np.asarray(o.chi2(jnp.asarray(one))) for o, one in zip(observed, x, strict=True)])
    except UsageError:  # there is no noise, or its law does not tell it
        chi2 = np.full((n, m), np.nan)
    each = psnr(x, np.broadcast_to(truth[:, None], x.shape), peak, reduce=(2, 3, 4))
    return {
        "psnr_sample": np.asarray(each).mean(1),
        "rank": np.where(np.isfinite(members).all(0), rank, np.nan),
        "spread_skill": np.asarray(spread_skill_ratio(x, truth, axis=1)),
        "residual": np.sqrt(chi2),
        "dof": np.array(observed[0].operator.size),
        "covered": covered(x, truth),
    }


def over_chi(residual: np.ndarray, dof: Any, levels: Any) -> np.ndarray:
    """Quantiles of residuals over the same quantiles of chi; 1 for a posterior."""
    return np.quantile(residual, levels) / stats.chi.ppf(levels, dof)


def mean_se(name: str, each: np.ndarray) -> dict[str, Any]:
    """The mean of numbers (n,) and its standard error, by their name."""
    n = len(each)
    return {name: each.mean(), f"{name}_se": each.std(ddof=1) / n**0.5 if n > 1 else None}


def summary(rows: Mapping[str, np.ndarray], draws: int) -> dict[str, Any]:
    """Results over the images, from what `restored` and `calibration` gave and from what is known of the particles."""
    out: dict[str, Any] = {}
    for name in ("psnr", "ssim", "lpips"):
        if name in rows:
            out |= mean_se(name, rows[name])
    if "rank" in rows:
        failed = np.isnan(rows["rank"]).any()
        counts = np.bincount(np.nan_to_num(rows["rank"]).astype(int), minlength=draws + 1)
        out["rank_p"] = None if failed else flatness(counts).p_value
        out |= {"psnr_sample": rows["psnr_sample"].mean(), "spread_skill": rows["spread_skill"]}
        out["covered"] = rows["covered"][0] if rows["covered"].size else None
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
