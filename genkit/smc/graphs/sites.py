"""Normal sites in place of the likelihoods of a latent Gaussian model: by Laplace, by expectation propagation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genkit.errors import UsageError
from genkit.smc.twisting import Quadratic

if TYPE_CHECKING:
    from genkit.smc.graphs.gaussian import LatentGaussian

NODES = 64  # of Gauss-Hermite quadrature


@dataclass(frozen=True)
class Sites:
    """Normal sites t_i in place of the likelihoods: log t_i(x) = -precision x^2 / 2 + shift x + const."""

    psi: Quadratic
    """Leaves (d,)"""
    log_z: float
    """log of the integral of N(x; mean, Q^-1) prod_i t_i(x_i)"""
    converged: bool


def laplace(graph: LatentGaussian, tolerance: float = 1e-9, max_steps: int = 100) -> Sites:
    """Sites by the second derivative of each likelihood at the mode, by Newton's method.

    Where a likelihood curves upward its site is linear.

    Args:
        graph: the model.
        tolerance: of the last step.
        max_steps: limit on the steps; each is halved until it climbs.
    """
    q, m = graph.precision, graph.mean
    x, change = m.copy(), np.inf
    value, slope, curve = _defined(x, graph.likelihoods(x))

    def height(x: np.ndarray, value: np.ndarray) -> float:
        return float(value.sum() - 0.5 * (x - m) @ q @ (x - m))

    for _ in range(max_steps):
        w = np.maximum(-curve, 0.0)
        step = np.linalg.solve(q + np.diag(w), slope - q @ (x - m))
        change = float(np.abs(step).max())
        before, new = height(x, value), graph.likelihoods(x + step)
        while not height(x + step, new[0]) >= before - 1e-9 * abs(before) and np.abs(step).max() > tolerance:
            step = step / 2
            new = graph.likelihoods(x + step)
        x, (value, slope, curve) = x + step, _defined(x + step, new)
        if change <= tolerance:
            break
    w = np.maximum(-curve, 0.0)
    psi = Quadratic(w, slope + w * x, value - slope * x - 0.5 * w * x**2)
    return Sites(psi, graph.gaussian(psi)[2], change <= tolerance)


def gaussian_ep(graph: LatentGaussian, damping: float = 0.5, tolerance: float = 1e-8, max_steps: int = 200) -> Sites:
    """Sites by expectation propagation: the normal has the moments of each likelihood with the rest (Minka 2001).

    All sites move at once; those whose cavity is improper stay. Moments by Gauss-Hermite quadrature about the normal of
    the present sites, from Laplace's on, which is where cavity times likelihood is, however narrow that may be.

    Args:
        graph: the model.
        damping: what a step keeps of the old sites, in [0, 1).
        tolerance: of the change of the sites in one step, before damping.
        max_steps: limit on the steps.
    """
    if not 0 <= damping < 1:
        raise UsageError(f"damping={damping} must lie in [0, 1), the share of the old sites that is kept")
    z, w = np.polynomial.hermite_e.hermegauss(NODES)
    log_w = (np.log(w / w.sum()) + 0.5 * z**2)[:, None]
    start = laplace(graph).psi
    precision, shift, const = start.precision, start.shift, start.const
    change = np.inf
    for _ in range(max_steps):
        mean, p, _ = graph.gaussian(Quadratic(precision, shift, const))
        variance = np.diag(np.linalg.inv(p))
        cavity, pull = 1 / variance - precision, mean / variance - shift
        proper = cavity > 0
        safe = np.where(proper, cavity, 1.0)
        x = mean + z[:, None] * np.sqrt(variance)
        log_lik = graph.likelihoods(x)[0]
        _nowhere(np.isnan(log_lik) | (log_lik == np.inf), x, log_lik)
        _nowhere(np.broadcast_to((log_lik == -np.inf).all(0), x.shape), x, log_lik)
        log = log_w + log_lik + 0.5 * np.log(safe * variance) - 0.5 * safe * (x - pull / safe) ** 2
        top = log.max(0)
        share = np.exp(log - top)
        total = share.sum(0)
        m1 = (share * x).sum(0) / total
        v1 = (share * (x - m1) ** 2).sum(0) / total
        seen = v1 > 1e-6 * variance  # else it lies between the nodes
        moved, v1 = proper & seen, np.where(seen, v1, 1.0)
        new = np.where(moved, 1 / v1 - cavity, precision), np.where(moved, m1 / v1 - pull, shift)
        change = float(max(np.abs(new[0] - precision).max(), np.abs(new[1] - shift).max())) if seen.all() else np.inf
        done = change <= tolerance
        keep = 0.0 if done else damping
        precision, shift = (keep * a + (1 - keep) * b for a, b in zip((precision, shift), new, strict=True))
        # the integral of the cavity times the site is that of the cavity times the likelihood
        own = safe + precision
        log_site = 0.5 * (np.log(safe / own) + (pull + shift) ** 2 / own - pull**2 / safe)
        const = np.where(moved, top + np.log(total) - log_site, const)
        if done:
            break
    psi = Quadratic(precision, shift, const)
    return Sites(psi, graph.gaussian(psi)[2], change <= tolerance)


def log_site(psi: Quadratic, x: np.ndarray) -> np.ndarray:
    """log t_i(x_i), (..., d)."""
    return -0.5 * psi.precision * x**2 + psi.shift * x + psi.const


def _defined(x: np.ndarray, found: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Likelihoods and derivatives at x, refused where one is not finite."""
    for values in found:
        _nowhere(~np.isfinite(values), x, values)
    return found


def _nowhere(wrong: np.ndarray, x: np.ndarray, values: np.ndarray) -> None:
    """Refuse values that are wrong somewhere, by the first variable; all (..., d)."""
    if wrong.any():
        i = int(np.argmax(wrong.reshape(-1, x.shape[-1]).any(0)))
        at = np.argmax(wrong[..., i].ravel())
        raise UsageError(
            f"log_lik of variable {i}, or a derivative, is {values[..., i].ravel()[at]} at x = "
            f"{x[..., i].ravel()[at]:.4g}; expected finite numbers where the posterior is"
        )
