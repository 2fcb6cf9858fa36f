"""`representations.prototypes`: do prototypes collapse, and does a regulariser keep them apart?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from genkit.experiment import Run
from genkit.kinds import Dataset, Model
from genkit_representations import evaluation
from genkit_representations.data import Samples
from genkit_representations.datasets import Clusters
from genkit_representations.experiments import distilling
from genkit_representations.experiments.study import Study, at_least, preset, summary
from genkit_representations.models import Distillation, Distilled
from genkit_representations.prototypes import EPS, collapse

METHODS = tuple(f"{m}{kp}" for m in ("centering", "sinkhorn", "me_max", "vmf") for kp in ("", "_kp"))


@dataclass(frozen=True)
class PrototypeStudy(Study):
    """Count the different prototypes that self-distillation learns, without and with a regulariser.

    Methods of the DINO family say that samples are spread over many prototypes, yet copies of one prototype look even
    to them: partial prototype collapse (arXiv 2410.14060). Each method is trained over some seeds, also with KoLeo on
    its prototypes (`<method>_kp`); k-NN accuracy shows whether the features gain by it.
    """

    headline = "unique/*"

    data: Dataset[Samples] = field(default_factory=Clusters)
    """The samples."""
    model: Model[Samples, Distilled] = field(default_factory=Distillation)
    """What is trained; its method is one of those that are compared."""
    methods: tuple[str, ...] = METHODS
    """What is compared: centering, sinkhorn, swav, me_max, vmf, each also with _kp."""
    seeds: int = 2
    """Trainings of each method."""
    eps: float = EPS
    """Cosine distance within which prototypes count as one."""
    neighbours: int = 20
    """Of the k-NN classifier."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes), paper (the head of DINO)."""
        model = Distillation.preset(name)
        tiny = {"model": model, "methods": ("centering", "centering_kp"), "seeds": 1,
                "data": Clusters(clusters=6, dim=8, points=300)}  # fmt: skip
        return preset(cls, name, {"tiny": tiny, "default": {"model": model}, "paper": {"model": model}})

    def __post_init__(self) -> None:
        """Check the options."""
        at_least(self, 1, "seeds", "neighbours")
        distilling.check(self)

    def train(self, run: Run) -> None:
        """Train all methods."""
        for _ in distilling.models(self, run):
            pass

    def sample(self, run: Run) -> None:
        """Encode the data."""
        distilling.encode(self, run)

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Different and used prototypes, entropy, accuracy; means over the seeds."""
        data, rows = self.loaded(run), {}
        for method, _, arrays in distilling.encoded(self, run):
            found = collapse(arrays["prototypes"], arrays["probabilities"], self.eps)
            classes = evaluation.knn(arrays["train"], data.labels, arrays["test"], self.neighbours)
            values = {"unique": found.unique, "used": found.used, "entropy": found.entropy,
                      "redundant": found.redundant, "knn": evaluation.balanced(classes, data.test_labels)}  # fmt: skip
            for name, value in values.items():
                rows.setdefault(f"{name}/{method}", []).append(value)
        return {"prototypes": float(self.model.head.prototypes), **summary(rows)}  # type: ignore[attr-defined]

    def report(self, run: Run) -> None:
        """Table and figures."""
        columns = {"unique": f"different, of {run.results['prototypes']:.0f}", "used": "used",
                   "entropy": "entropy / log K", "redundant": "mass on copies", "knn": "k-NN accuracy"}  # fmt: skip
        distilling.report(self, run, columns, self.eps)
