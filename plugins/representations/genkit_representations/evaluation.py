"""What features are worth: neighbours, linear probes, few labels."""

from __future__ import annotations

import numpy as np

from genkit.errors import UsageError


def knn(train: np.ndarray, labels: np.ndarray, test: np.ndarray, k: int = 20, temperature: float = 0.07) -> np.ndarray:
    """Classes (m,) of test features (m, d) by weighted votes of the k nearest of train (n, d) (DINO's protocol).

    Cosine similarities s vote with exp(s / temperature).
    """
    if k < 1:
        raise UsageError(f"k={k} neighbours; expected at least 1")
    k, (a, b) = min(k, len(train)), (_unit(train), _unit(test))
    votes = np.zeros((len(b), labels.max() + 1))
    for rows in np.array_split(np.arange(len(b)), max(1, len(b) * len(a) // 20_000_000)):
        similar = b[rows] @ a.T
        near = np.argpartition(-similar, k - 1, 1)[:, :k]
        weight = np.exp(np.take_along_axis(similar, near, 1) / temperature)
        np.add.at(votes, (rows[:, None], labels[near]), weight)
    return votes.argmax(1)


def balanced(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Mean over classes of the share that is right."""
    return float(np.mean([(predicted[labels == c] == c).mean() for c in np.unique(labels)]))


def by_frequency(predicted: np.ndarray, labels: np.ndarray, train: np.ndarray) -> dict[str, float]:
    """Balanced accuracy of classes with over 100, 20 to 100 and under 20 training samples: head, middle, tail.

    Groups without a class are left out.
    """
    count = np.bincount(train, minlength=labels.max() + 1)[labels]
    parts = {"head": count > 100, "middle": (count >= 20) & (count <= 100), "tail": count < 20}
    return {name: balanced(predicted[rows], labels[rows]) for name, rows in parts.items() if rows.any()}


def linear(train: np.ndarray, labels: np.ndarray, test: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """Classes (m,) of test features by logistic regression on standardised features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=500))
    return np.asarray(probe.fit(train, labels).predict(test))


def few(labels: np.ndarray, shots: int, seed: int = 0) -> np.ndarray:
    """Rows with at most `shots` samples of every class, drawn at random."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.permutation(np.flatnonzero(labels == c))[:shots] for c in np.unique(labels)])


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
