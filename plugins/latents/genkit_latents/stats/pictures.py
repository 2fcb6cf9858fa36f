"""Scores of generated images and of codes, without a network of others."""

from __future__ import annotations

import numpy as np

from genkit.metrics import frechet_of_samples

FEATURES = 32
PROBES = {"svm": "a linear support vector machine (C = .025)", "knn": "5 neighbours", "knn_many": "100 neighbours"}


class Whitened:
    """The fixed feature space: the first 32 principal components of training rows (n, D), each with variance one."""

    def __init__(self, x: np.ndarray):
        self.mean = x.mean(0)
        _, s, v = np.linalg.svd(x - self.mean, full_matrices=False)
        k = min(FEATURES, int((s > 1e-6 * s[0]).sum()))
        self.basis = v[:k].T * (len(x) - 1) ** 0.5 / s[:k]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Features (n, 32) of rows (n, D)."""
        return (x - self.mean) @ self.basis


def frechet_whitened(train: np.ndarray, x: np.ndarray) -> float:
    """Frechet distance of rows x (m, D) from training rows (n, D) in the space `Whitened` of the latter.

    Its floor, a perfect generator's, is that of as many test rows.
    """
    space = Whitened(np.asarray(train, np.float64))
    return frechet_of_samples(space(train), space(np.asarray(x, np.float64)))


def probes(z: np.ndarray, y: np.ndarray, test: np.ndarray, test_labels: np.ndarray) -> dict[str, float]:
    """Accuracies on test codes of the probes `PROBES`, learned from codes z (n, d) with labels y; codes standardised.

    As in Athanasiadis et al. 2025 (arXiv 2408.13805), where codes are draws of the posterior and not its means.
    """
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    learners = LinearSVC(C=0.025, max_iter=2000), KNeighborsClassifier(5), KNeighborsClassifier(min(100, len(z)))
    return {
        name: float(make_pipeline(StandardScaler(), learner).fit(z, y).score(test, test_labels))
        for name, learner in zip(PROBES, learners, strict=True)
    }
