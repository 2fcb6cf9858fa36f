"""Scores of detectors: higher scores mean known data. Every number says which class is the positive one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from genkit.errors import DataError


class Detection(NamedTuple):
    """How well scores tell known (id) from unknown data (ood)."""

    auroc: float
    """P(known > unknown) + P(equal) / 2"""
    fpr95_id: float
    """unknown ones that are taken for known where 95 % of the known are (ViM, RDM)"""
    fpr95_ood: float
    """known ones that are taken for unknown where 95 % of the unknown are found (OpenOOD)"""
    aupr_in: float
    """area under precision and recall, known data positive"""
    aupr_out: float
    """the same, unknown data positive"""


def detection(known: np.ndarray, unknown: np.ndarray) -> Detection:
    """All of it from scores (n,) and (m,); raises DataError for NaN, which no detector may return."""
    for name, scores in (("known", known), ("unknown", unknown)):
        if not len(scores) or np.isnan(scores).any():
            raise DataError(f"{name} scores: {np.isnan(scores).sum()} of {len(scores)} are NaN; expected numbers")
    rates = fpr95_id(known, unknown), fpr95_ood(known, unknown)
    return Detection(auroc(known, unknown), *rates, aupr(known, unknown), aupr(-unknown, -known))


def auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """P(positive > negative) + P(equal) / 2, by ranks."""
    n, m = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))[:n]
    return float((ranks.sum() - n * (n + 1) / 2) / (n * m))


def fpr95_id(known: np.ndarray, unknown: np.ndarray) -> float:
    """Share of the unknown at or above the floor(.95 n)-th largest score of the known."""
    threshold = np.sort(known)[::-1][max(int(0.95 * len(known)) - 1, 0)]
    return float((unknown >= threshold).mean())


def fpr95_ood(known: np.ndarray, unknown: np.ndarray) -> float:
    """Share of the known at or below the lowest threshold under which lie at least 95 % of the unknown."""
    threshold = np.sort(unknown)[int(np.ceil(0.95 * len(unknown))) - 1]
    return float((known <= threshold).mean())


def aupr(positive: np.ndarray, negative: np.ndarray) -> float:
    """Trapezoids under precision against recall, one point a different score, from (0, 1)."""
    scores = np.concatenate([positive, negative])
    order = np.argsort(-scores, kind="stable")
    hit = (np.arange(len(scores)) < len(positive))[order]
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    found = np.cumsum(hit)[last]
    precision, recall = found / (last + 1), found / len(positive)
    return float(np.trapezoid(np.append(1.0, precision), np.append(0.0, recall)))


def curve(known: np.ndarray, unknown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of the unknown and of the known that pass each threshold: the ROC curve."""
    levels = np.unique(np.concatenate([known, unknown]))
    pass_ = lambda s: 1 - np.searchsorted(np.sort(s), levels, "left") / len(s)  # noqa: E731
    return np.append(pass_(unknown), 0.0), np.append(pass_(known), 0.0)
