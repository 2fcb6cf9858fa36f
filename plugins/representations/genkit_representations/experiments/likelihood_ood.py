"""`representations.likelihood_ood`: is the likelihood of features a test for the unknown?"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self, cast

import numpy as np

from genkit.diffusion import bits_per_dim
from genkit.errors import UsageError
from genkit.experiment import Estimate, Run
from genkit.files import read_arrays, write_arrays
from genkit.kinds import Dataset, Model
from genkit.terminal import plural
from genkit_representations import density, figures
from genkit_representations.data import Split, Splits
from genkit_representations.datasets import HeldOutDigits
from genkit_representations.experiments.detectors import BY_CLASS, KNOWN, Detectors
from genkit_representations.experiments.study import Study, at_least, preset, summary
from genkit_representations.models import RDM, FeatureDensity

METHODS = ("rdm", "rdm_class", "gmm", "gaussian", "mahalanobis", "relative_mahalanobis", "knn", "vim", "energy", "msp",
           "typicality", "scoped")  # fmt: skip
LEVEL = 0.05  # of the test by p-values


@dataclass(frozen=True)
class LikelihoodOOD(Study):
    """Tell unknown from known features by their likelihood under a diffusion model, beside other detectors.

    The model (RDM, arXiv 2504.07793) learns the density of known features, `rdm` without labels and `rdm_class` given
    the class that a linear classifier predicts. All detectors see the same features, principal components of the
    training features; those by logits have that classifier. Scores are means over splits of the data, with their
    standard deviation. Own features: `--data features --data.file x.npz`.
    """

    headline = "auroc/*/mean"

    data: Dataset[Splits] = field(default_factory=HeldOutDigits)
    """The features."""
    model: Model[Split, FeatureDensity] = field(default_factory=RDM)
    """The density of features."""
    methods: tuple[str, ...] = METHODS
    """What is compared; also max_logit, gen, kl_matching."""
    neighbours: int = 5
    """The k of knn; 50 in OpenOOD."""
    components: int = 8
    """Of the mixture gmm."""
    principal: float = 0.5
    """Share of the dimensions that ViM takes for principal."""
    level: float = 0.5
    """Noise level of scoped."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes), paper (the published network; bring features of ImageNet)."""
        model = RDM.preset(name)
        few = ("rdm", "gmm", "knn", "scoped", "typicality")
        tiny = {"model": model, "data": HeldOutDigits(splits=1), "methods": few}
        paper = {"model": model, "neighbours": 50}
        return preset(cls, name, {"tiny": tiny, "default": {"model": model}, "paper": paper})

    def __post_init__(self) -> None:
        """Check the options."""
        at_least(self, 1, "neighbours", "components")
        if wrong := set(self.methods) - set(KNOWN):
            raise UsageError(f"methods={tuple(sorted(wrong))}; expected some of {', '.join(KNOWN)}")
        if not 0 < self.principal < 1 or self.level <= 0:
            raise UsageError(
                f"principal={self.principal}, level={self.level}; expected 0 < principal < 1 and level > 0"
            )

    def chosen(self, run: Run) -> tuple[str, ...]:
        """The methods that the data allow: without labels, those that need none."""
        unlabelled = any(split.labels is None for split in self.loaded(run).splits)
        return tuple(m for m in self.methods if not (unlabelled and m in BY_CLASS))

    def models(self, run: Run, k: int, split: Split) -> dict[str, FeatureDensity]:
        """The densities of a split; the study's own model is the first without classes, or as it is configured."""
        recipe: Any = self.model
        found = {}
        own = "rdm_class" if recipe.conditional else "rdm"
        for name in ("rdm", "rdm_class"):
            if name == own and k == 0:
                found[name] = run.trained("model", lambda: split)
            elif name in self.chosen(run) or (name == own and {"typicality", "scoped"} & set(self.methods)):
                found[name] = self.variant(run, f"{name}/{k}", replace(recipe, conditional=name == "rdm_class"), split)
        return found

    def train(self, run: Run) -> None:
        """Train on every split."""
        for k, split in run.each("splits", list(enumerate(self.loaded(run).splits))):
            self.models(run, k, split)

    def sample(self, run: Run) -> None:
        """Write the scores of every method: scores/<split>.npz."""
        for k, split in run.each("likelihoods", list(enumerate(self.loaded(run).splits))):
            write_arrays(run.folder / "scores" / f"{k}.npz", self._scores(run, k, split))

    def _scores(self, run: Run, k: int, split: Split) -> dict[str, np.ndarray]:
        """`<method>/<set>` for the sets test and the unknown ones, and numbers about the likelihood."""
        models, recipe = self.models(run, k, split), cast(Any, self.model)
        pre = recipe.preprocessing(split.train)
        detectors = Detectors(split, models, pre, self.neighbours, self.components, self.principal, self.level)
        found = {f"{m}/{name}": s for m in self.chosen(run) for name, s in detectors.scores(m).items()}
        found["shrink"] = np.asarray(density.Gaussian.fit(detectors.z["train"]).shrink)
        if models:
            model, some, size = detectors.model, split.test[:64], len(pre.scale)
            one = replace(model, integrator=replace(model.integrator, trace="rademacher", probes=1))
            found["trace_sd"] = np.stack([one.log_prob(some, seed=s) for s in range(4)]).std(0, ddof=1)
            found["bits"] = np.asarray(bits_per_dim(detectors.log_prob(model, "test"), size))  # type: ignore[arg-type]
        return found

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Means over splits and unknown sets, standard deviations over the splits."""
        rows: dict[str, list[float]] = {}
        for k, _ in enumerate(self.loaded(run).splits):
            arrays = read_arrays(run.folder / "scores" / f"{k}.npz")
            for method in self.chosen(run):
                known = arrays[f"{method}/test"]
                sets = [a for name, a in arrays.items() if name.startswith(f"{method}/ood/")]
                each = np.mean([density.detection(known, unknown) for unknown in sets], 0)
                for name, value in zip(density.Detection._fields, each, strict=True):
                    rows.setdefault(f"{name}/{method}", []).append(float(value))
                # half of the known data calibrate a test of the other half and of the unknown
                calibration, fresh = known[::2], known[1::2]
                flagged = lambda s, c=calibration: float((density.p_values(s, c) <= LEVEL).mean())  # noqa: E731
                rows.setdefault(f"flagged_id/{method}", []).append(flagged(fresh))
                rows.setdefault(f"flagged_ood/{method}", []).append(float(np.mean([flagged(s) for s in sets])))
            for name in {"bits", "trace_sd", "shrink"} & arrays.keys():  # a split without a density has but shrink
                rows.setdefault(name, []).append(float(arrays[name].mean()))
        found: dict[str, float | None] = {}
        for name, value in summary(rows).items():  # name/mean and name/sd
            found[name if name.endswith("/sd") or "/" not in name else f"{name}/mean"] = value
        return {**found, "nfe": self.model.integrator.calls}  # type: ignore[attr-defined]

    def report(self, run: Run) -> None:
        """Table, ROC curves, histograms of scores."""
        results, methods = run.results, self.chosen(run)
        columns = {"auroc": "AUROC", "fpr95_id": "FPR95, known positive", "fpr95_ood": "FPR95, unknown positive",
                   "aupr_in": "AUPR in", "aupr_out": "AUPR out", "flagged_ood": f"unknown with p <= {LEVEL:g}",
                   "flagged_id": "known with it"}  # fmt: skip
        rows = []
        for method in sorted(methods, key=lambda m: -(results[f"auroc/{m}/mean"] or 0)):
            cells: list[Any] = []
            for column in columns:
                cells.append(Estimate(results[f"{column}/{method}/mean"], results.get(f"{column}/{method}/sd")))
            rows.append([method, *cells])
        several = plural(len(self.loaded(run).splits), "split")
        over = f"Detection of unknown features, mean of {several}; ± is their standard deviation"
        run.table("detection", ["method", *columns.values()], rows, over, {"AU*": "high", "FPR*": "low"})
        arrays = read_arrays(run.folder / "scores" / "0.npz")
        first = next(iter(self.loaded(run).splits[0].ood))
        pairs = {m: (arrays[f"{m}/test"], arrays[f"{m}/ood/{first}"]) for m in methods}
        what = f"ROC curves of the first split, unknown: {first}. The rate of unknown ones that pass is logarithmic."
        run.figure("roc", figures.roc(pairs), what)
        what = f"Scores of the first split, known test features and {first}; 95 % of the known pass the line."
        run.figure("scores", figures.scores(pairs), what)
