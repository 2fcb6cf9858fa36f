"""Detectors by features and logits. Each is fitted on training data; higher scores mean known data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp, softmax, xlogy

from genkit.errors import DataError

# by logits


def msp(logits: np.ndarray) -> np.ndarray:
    """Largest probability (Hendrycks and Gimpel 2017, arXiv 1610.02136)."""
    return softmax(logits, 1).max(1)


def max_logit(logits: np.ndarray) -> np.ndarray:
    """Largest logit (arXiv 1911.11132)."""
    return logits.max(1)


def energy(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """T log sum exp(l / T) (Liu et al. 2020, arXiv 2010.03759)."""
    return temperature * np.asarray(logsumexp(logits / temperature, 1))


def gen(logits: np.ndarray, gamma: float = 0.1, top: int = 100) -> np.ndarray:
    """Generalised entropy -sum p^g (1 - p)^g over the largest probabilities (Liu et al. 2023)."""
    p = -np.sort(-softmax(logits, 1), 1)[:, :top]
    return -(p**gamma * (1 - p) ** gamma).sum(1)


def kl_matching(train: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """-min_c KL(p | d_c), d_c the mean probabilities of training rows predicted as c (Hendrycks, arXiv 1911.11132)."""
    known, p = softmax(train, 1), softmax(logits, 1)
    means = np.stack([known[known.argmax(1) == c].mean(0) for c in np.unique(known.argmax(1))])
    return -(xlogy(p, p).sum(1, keepdims=True) - p @ np.log(np.maximum(means, 1e-30)).T).min(1)


def react(train: np.ndarray, features: np.ndarray, weights: np.ndarray, bias: np.ndarray, q: float = 0.9) -> np.ndarray:
    """Energy of features clipped at a quantile of all training features (Sun et al. 2021, arXiv 2111.12797)."""
    return energy(np.minimum(features, np.quantile(train, q)) @ weights + bias)


# by features


def covariance(x: np.ndarray, shrink: float | None = None) -> tuple[np.ndarray, float]:
    """Covariance (d, d) of centred rows, shrunk towards a multiple of the identity, and by how much.

    Without a number it is that of Ledoit and Wolf 2004 where the rows do not span the space (fewer than 2 d of them, or
    dependent columns), else 0: a singular covariance has no inverse, and its scores would be noise.
    """
    n, d = x.shape
    s = x.T @ x / n
    if not np.trace(s) > 0:
        raise DataError("the features do not vary; a covariance needs some that do")
    if shrink is None:
        few = n < 2 * d or np.linalg.cond(s) > 1e10
        shrink = max(_ledoit_wolf(x, s), 1e-6) if few else 0.0
    return (1 - shrink) * s + shrink * np.trace(s) / d * np.eye(d), shrink


def _ledoit_wolf(x: np.ndarray, s: np.ndarray) -> float:
    n, d = x.shape
    away = ((s - np.trace(s) / d * np.eye(d)) ** 2).sum()
    spread = ((x**2).sum(1) ** 2).mean() - (s**2).sum()  # mean of |x x^T - s|^2
    return float(min(spread / n / max(away, 1e-300), 1.0))


@dataclass(frozen=True)
class Gaussian:
    """One normal distribution."""

    mean: np.ndarray
    precision: np.ndarray
    log_det: float
    shrink: float
    """towards a multiple of the identity, where the covariance was singular"""

    @classmethod
    def fit(cls, x: np.ndarray, shrink: float | None = None) -> Gaussian:
        """Of rows (n, d)."""
        s, shrink = covariance(x - x.mean(0), shrink)
        return cls(x.mean(0), np.linalg.inv(s), float(np.linalg.slogdet(s)[1]), shrink)

    def distance(self, x: np.ndarray) -> np.ndarray:
        """Squared Mahalanobis distance to the mean, (n,)."""
        away = x - self.mean
        return ((away @ self.precision) * away).sum(1)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Log density (n,)."""
        return -0.5 * (self.distance(x) + self.log_det + x.shape[1] * np.log(2 * np.pi))


@dataclass(frozen=True)
class Mahalanobis:
    """Distance to the nearest class mean under one covariance (Lee et al. 2018, arXiv 1807.03888).

    `relative` subtracts the distance to the mean of all (Ren et al. 2021, arXiv 2106.09022).
    """

    means: np.ndarray
    precision: np.ndarray
    whole: Gaussian | None
    shrink: float

    @classmethod
    def fit(cls, x: np.ndarray, labels: np.ndarray, relative: bool = False, shrink: float | None = None) -> Mahalanobis:
        """Of rows (n, d) with classes (n,)."""
        classes, index = np.unique(labels, return_inverse=True)
        means = np.stack([x[labels == c].mean(0) for c in classes])
        s, shrink = covariance(x - means[index], shrink)
        return cls(means, np.linalg.inv(s), Gaussian.fit(x, shrink or None) if relative else None, shrink)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """-min_c (x - m_c)^T W^-1 (x - m_c), (n,)."""
        away = x[:, None] - self.means
        nearest = np.einsum("ncd,de,nce->nc", away, self.precision, away, optimize=True).min(1)
        return -nearest if self.whole is None else self.whole.distance(x) - nearest


@dataclass(frozen=True)
class KNN:
    """Squared distance to the k-th nearest training row, after normalisation (Sun et al. 2022, arXiv 2204.06507)."""

    train: np.ndarray
    k: int
    normalised: bool

    @classmethod
    def fit(cls, x: np.ndarray, k: int = 50, normalised: bool = True) -> KNN:
        """Of rows (n, d); k is at most n."""
        return cls(_unit(x) if normalised else x, min(k, len(x)), normalised)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """-|x - neighbour|^2, (n,)."""
        x = _unit(x) if self.normalised else x
        square = (x**2).sum(1)[:, None] + (self.train**2).sum(1)[None] - 2 * x @ self.train.T
        return -np.partition(square, self.k - 1, 1)[:, self.k - 1]


@dataclass(frozen=True)
class ViM:
    """Energy less the scaled norm of what principal components leave (Wang et al. 2022, arXiv 2203.10807)."""

    origin: np.ndarray
    rest: np.ndarray
    """(d, d - k), the directions that are left"""
    alpha: float

    @classmethod
    def fit(cls, x: np.ndarray, logits: np.ndarray, keep: int, origin: np.ndarray | None = None) -> ViM:
        """Of rows (n, d) and their logits (n, C); `keep` leading components explain known data.

        `origin` is that of the classifier, -pinv(W) b; the mean of the rows without.
        """
        if not 1 <= keep < x.shape[1]:
            raise DataError(f"ViM keeps {keep} of {x.shape[1]} dimensions; expected 1 to {x.shape[1] - 1}")
        center = x.mean(0) if origin is None else origin
        moved = x - center
        _, vectors = np.linalg.eigh(moved.T @ moved / len(x))
        rest = vectors[:, : x.shape[1] - keep]
        return cls(center, rest, float(logits.max(1).mean() / np.linalg.norm(moved @ rest, axis=1).mean()))

    def residual(self, x: np.ndarray) -> np.ndarray:
        """-|part outside the principal components|, (n,), a detector of its own."""
        return -np.linalg.norm((x - self.origin) @ self.rest, axis=1)

    def __call__(self, x: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """Energy + alpha residual, (n,)."""
        return energy(logits) + self.alpha * self.residual(x)


def mixture(x: np.ndarray, components: int = 8, floor: float = 1e-3, seed: int = 0) -> Any:
    """A Gaussian mixture with full covariances; its `score_samples` is the log density."""
    from sklearn.mixture import GaussianMixture

    return GaussianMixture(components, reg_covar=floor, random_state=seed).fit(x)


# by a log density


def typicality(log_p: np.ndarray, train: np.ndarray) -> np.ndarray:
    """-|log p - mean of the training's log p|: not too unlikely, not too likely (Nalisnick et al. 2019, 1906.02994)."""
    return -np.abs(log_p - train.mean())


def p_values(scores: np.ndarray, calibration: np.ndarray) -> np.ndarray:
    """Probability of a score as low as that under scores (m,) of known data that nothing was fitted on.

    (1 + number at or below) / (m + 1): of known data at most a share q has a value up to q, whatever the detector.
    """
    below = np.searchsorted(np.sort(calibration), scores, "right")
    return (1 + below) / (len(calibration) + 1)


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
