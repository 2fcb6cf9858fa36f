"""`representations.images`: self-distillation of images with crops and masks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from genkit.experiment import Run
from genkit.kinds import Dataset, Model
from genkit_representations import evaluation, figures
from genkit_representations.data import Samples
from genkit_representations.datasets import Digits, Images
from genkit_representations.experiments import distilling
from genkit_representations.experiments.study import Study, at_least, preset, summary
from genkit_representations.models import Distilled, ImageDistillation
from genkit_representations.prototypes import EPS, collapse

METHODS = ("centering", "centering_kp", "me_max_kp")


@dataclass(frozen=True)
class ImageStudy(Study):
    """Self-distillation of images, whose classes have a long tail.

    An encoder learns from crops, without and with the regulariser of prototypes, also with prototypes that the mean of
    a batch must use evenly (me_max, MSN). Its features are judged by k-NN, by a linear probe with all and with few
    labels, beside the same on raw pixels. With masked patches: `--network vit --methods ibot_kp`.
    """

    headline = "unique/*"

    data: Dataset[Samples] = field(default_factory=lambda: Digits(tail=0.05))
    """The images."""
    model: Model[Samples, Distilled] = field(default_factory=ImageDistillation)
    """What is trained; its method is one of those that are compared."""
    methods: tuple[str, ...] = METHODS
    """What is compared: centering, sinkhorn, swav, me_max, vmf, ibot, dinov2, each also with _kp."""
    seeds: int = 1
    """Trainings of each method."""
    eps: float = EPS
    """Cosine distance within which prototypes count as one."""
    neighbours: int = 10
    """Of the k-NN classifier."""
    shots: int = 5
    """Labels of a class in the few-shot probe."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes), paper (DINO's ViT-S/16 on own images, in a folder `images`)."""
        model = ImageDistillation.preset(name)
        tiny = {"model": model, "methods": ("ibot_kp",)}
        paper = {"model": model, "data": Images()}
        return preset(cls, name, {"tiny": tiny, "default": {"model": model}, "paper": paper})

    def __post_init__(self) -> None:
        """Check the options."""
        at_least(self, 1, "seeds", "neighbours", "shots")
        distilling.check(self)

    def train(self, run: Run) -> None:
        """Train all methods."""
        for _ in distilling.models(self, run):
            pass

    def sample(self, run: Run) -> None:
        """Encode the data."""
        distilling.encode(self, run)

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Prototypes, and balanced accuracy of three classifiers; of raw pixels as `<name>/pixels`."""
        data = self.loaded(run)
        rows: dict[str, list[float]] = {}
        few = evaluation.few(data.labels, self.shots, run.seed)

        def judge(name: str, train: np.ndarray, test: np.ndarray) -> None:
            nearest = evaluation.knn(train, data.labels, test, self.neighbours)
            values = {
                "knn": evaluation.balanced(nearest, data.test_labels),
                "linear": evaluation.balanced(evaluation.linear(train, data.labels, test), data.test_labels),
                "few_shot": evaluation.balanced(
                    evaluation.linear(train[few], data.labels[few], test), data.test_labels
                ),
            }
            parts = evaluation.by_frequency(nearest, data.test_labels, data.labels)
            for key, value in {**values, **{f"knn_{part}": v for part, v in parts.items()}}.items():
                rows.setdefault(f"{key}/{name}", []).append(value)

        flat = [x.reshape(len(x), -1) for x in (data.train, data.test)]
        judge("pixels", *flat)
        for method, _, arrays in distilling.encoded(self, run):
            found = collapse(arrays["prototypes"], arrays["probabilities"], self.eps)
            judge(method, arrays["train"], arrays["test"])
            for key in ("unique", "used", "entropy", "redundant"):
                rows.setdefault(f"{key}/{method}", []).append(float(getattr(found, key)))
        return {"prototypes": float(self.model.head.prototypes), **summary(rows)}  # type: ignore[attr-defined]

    def report(self, run: Run) -> None:
        """Tables and figures."""
        columns = {"unique": f"different, of {run.results['prototypes']:.0f}", "used": "used",
                   "entropy": "entropy / log K", "knn": "k-NN", "linear": "linear",
                   "few_shot": f"{self.shots} labels a class"}  # fmt: skip
        distilling.report(self, run, columns, self.eps)
        names = ("knn", "linear", "few_shot", "knn_head", "knn_middle", "knn_tail")
        raw = [[name, run.results.get(f"{name}/pixels")] for name in names]
        run.table("pixels", ["accuracy", "value"], raw, "The same classifiers on raw pixels")
        figure = figures.views(self.model.views, self.loaded(run).train[:6])  # type: ignore[attr-defined]
        run.figure("views", figure, "Training images and their views: large crops, then small ones.")
