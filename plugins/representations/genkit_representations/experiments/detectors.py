"""All detectors on one split of the data, fitted when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from genkit_representations import density
from genkit_representations.data import Split
from genkit_representations.models import FeatureDensity, linear_classifier

BY_LOGITS = {"energy": density.energy, "msp": density.msp, "max_logit": density.max_logit, "gen": density.gen}
BY_CLASS = (*BY_LOGITS, "rdm_class", "kl_matching", "mahalanobis", "relative_mahalanobis", "vim")  # need labels
KNOWN = ("rdm", "gmm", "gaussian", "knn", "typicality", "scoped", *BY_CLASS)


class Detectors:
    """Scores of the sets of a split: `test`, `train` and `ood/<name>`."""

    def __init__(
        self,
        split: Split,
        models: Mapping[str, FeatureDensity],
        preprocessing: density.Preprocessing,
        neighbours: int = 5,
        components: int = 8,
        principal: float = 0.5,
        level: float = 0.5,
    ):
        """Fit nothing yet.

        `models` are the densities by method, the first of which serves typicality and scoped; the other detectors see
        the components of `preprocessing`, unscaled.
        """
        self.split, self.models = split, models
        self.neighbours, self.components, self.principal, self.level = neighbours, components, principal, level
        self.sets = {"test": split.test, **{f"ood/{name}": x for name, x in split.ood.items()}}
        mean, rotation = preprocessing.mean, preprocessing.rotation
        self.z = {name: np.asarray((x - mean) @ rotation, np.float64) for name, x in self._all.items()}
        self._likelihoods: dict[tuple[int, str], np.ndarray] = {}

    @property
    def model(self) -> FeatureDensity:
        """The first of the densities."""
        return next(iter(self.models.values()))

    @property
    def _all(self) -> dict[str, np.ndarray]:
        return {**self.sets, "train": self.split.train}

    @cached_property
    def logits(self) -> dict[str, np.ndarray]:
        """Of a linear classifier of the components, (n, C) for each set."""
        head = linear_classifier(self.z["train"], self._labels)
        return {name: z @ head["w"] + head["b"] for name, z in self.z.items()}

    @property
    def _labels(self) -> np.ndarray:
        assert self.split.labels is not None  # methods that need them are left out before
        return self.split.labels

    def log_prob(self, model: FeatureDensity, name: str) -> np.ndarray:
        """Log density of a set, computed once."""
        key = id(model), name
        if key not in self._likelihoods:
            self._likelihoods[key] = model.log_prob(self._all[name])
        return self._likelihoods[key]

    def scores(self, method: str) -> dict[str, np.ndarray]:
        """Scores of a method on every set but the training's, higher for known data."""
        score = self._fitted(method)
        return {name: np.asarray(score(name), np.float64) for name in self.sets}

    def _fitted(self, method: str) -> Callable[[str], Any]:
        train = self.z["train"]
        if method in self.models:
            return lambda name: self.log_prob(self.models[method], name)
        if method in BY_LOGITS:
            return lambda name: BY_LOGITS[method](self.logits[name])
        if method == "typicality":
            seen = self.log_prob(self.model, "train")
            return lambda name: density.typicality(self.log_prob(self.model, name), seen)
        if method == "scoped":
            return lambda name: self.model.scoped(self.sets[name], self.split.train, self.level)
        if method == "kl_matching":
            return lambda name: density.kl_matching(self.logits["train"], self.logits[name])
        if method == "vim":
            vim = density.ViM.fit(train, self.logits["train"], max(1, round(self.principal * train.shape[1])))
            return lambda name: vim(self.z[name], self.logits[name])
        fitted = {
            "gmm": lambda: density.mixture(train, self.components).score_samples,
            "gaussian": lambda: density.Gaussian.fit(train),
            "knn": lambda: density.KNN.fit(train, self.neighbours),
            "mahalanobis": lambda: density.Mahalanobis.fit(train, self._labels),
            "relative_mahalanobis": lambda: density.Mahalanobis.fit(train, self._labels, relative=True),
        }[method]()
        return lambda name: fitted(self.z[name])
