"""The recipe of a diffusion model of features."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import jax
import numpy as np

from genkit.diffusion import NetworkDenoiser, SubVP, Uniform, denoising_loss
from genkit.errors import DataError, UsageError
from genkit.kinds import Network, Optimizer, Process
from genkit.model import Recipe
from genkit.nn import Net
from genkit.train import learn
from genkit_representations.data import Split
from genkit_representations.density import Preprocessing, preprocess
from genkit_representations.models.density import FeatureDensity, Integrator, classes_of
from genkit_representations.models.optimizer import OneCycle
from genkit_representations.networks import FeatureMLP


@dataclass(frozen=True, kw_only=True)
class RDM(Recipe):
    """Representation diffusion model: the density of an encoder's features (arXiv 2504.07793).

    With `conditional` the network is given the class that a linear classifier of the features predicts, in training and
    in use. A share of the training features is held back to choose the training step on.
    """

    fixed: ClassVar[tuple[str, ...]] = ("network", "process", "components", "centred", "scaled", "conditional", "steps")
    used: ClassVar[tuple[str, ...]] = ("integrator",)

    network: Network[int] = field(default_factory=FeatureMLP)
    """The network; it predicts the noise."""
    process: Process = field(default_factory=lambda: SubVP(b0=0.2, b1=20.0, t_min=1e-2))
    """The Gaussian path; its lowest time is where the data are read, 1e-5 published."""
    components: int | None = 20
    """Leading principal components that are kept, 768 published; none keeps all dimensions."""
    centred: bool = True
    """Principal components of the covariance; published are those of the second moment."""
    scaled: bool = True
    """Divide each component by its standard deviation."""
    conditional: bool = False
    """Whether the network is given a class."""
    likelihood_weighting: bool = False
    """Weight the loss by g^2 / sigma^2, which bounds the likelihood (arXiv 2101.09258); off as published."""
    optimizer: Optimizer = field(default_factory=OneCycle)
    """The optimiser."""
    steps: int = 3000
    """Training steps."""
    batch: int = 128
    """Features in a step."""
    ema: float | None = 100.0
    """Half-life of the averaged parameters in steps; none published (theirs was never updated)."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    held: float = 0.1
    """Share of the training features for validation."""
    integrator: Integrator = field(default_factory=Integrator)
    """How likelihoods are computed."""

    @classmethod
    def preset(cls, name: str) -> RDM:
        """Presets tiny (CI), default (seconds), paper (768 features of ImageNet)."""
        if name == "tiny":
            return cls(network=FeatureMLP.preset("tiny"), components=6, steps=60, batch=64,
                       integrator=Integrator(steps=6))  # fmt: skip
        if name == "paper":
            return cls(network=FeatureMLP.preset("paper"), process=SubVP(b0=0.2, b1=20.0, t_min=1e-5), components=768,
                       centred=False, scaled=False, steps=9800, batch=4096, ema=None, held=0.01,
                       integrator=Integrator("dopri5", trace="rademacher"))  # fmt: skip
        return cls()

    def __post_init__(self) -> None:
        """Check the sizes."""
        super().__post_init__()
        for name in ("steps", "batch"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")
        if not 0 < self.held < 1 or self.clip <= 0 or (self.ema is not None and self.ema <= 0):
            raise UsageError(f"held={self.held}, clip={self.clip}, ema={self.ema}; expected 0 < held < 1, others > 0")

    def fit(self, run: Any, data: Split, start: FeatureDensity | None = None) -> FeatureDensity:
        """Fit the preprocessing, the classifier where there is one, and the network."""
        model, steps = (self._untrained(data), self.steps) if start is None else (start, self.finetune)
        denoiser: Any = model.denoiser
        z = np.asarray(model.preprocessing(data.train), np.float32)
        rows: dict[str, Any] = {"x": z}
        if model.classifier is not None:
            rows["cond"] = np.asarray(classes_of(model.logits(data.train)))
        order = np.random.default_rng(run.seed).permutation(len(z))
        cut = max(1, round(self.held * len(z)))
        train, known = ({name: a[part] for name, a in rows.items()} for part in (order[cut:], order[:cut]))
        weight = likelihood_weight if self.likelihood_weighting else None

        def loss(params: Any, aux: None, batch: Any, key: Any, training: bool = True) -> Any:
            of = replace(denoiser, params=params)
            value = denoising_loss(key, of, batch["x"], batch.get("cond"), Uniform(), level_weight=weight)
            return value, (aux, {})

        first = denoiser.network.init(run.key("rdm network")) if start is None else denoiser.params
        params = learn(
            run, "rdm", loss, first, train, [known] * 8, optimizer=self.optimizer.build(steps), steps=steps,
            batch=min(self.batch, len(train["x"])), ema=self.ema, clip=self.clip, validate=max(1, steps // 20),
            keep="best",
        )  # fmt: skip
        return replace(model, denoiser=replace(denoiser, params=params), integrator=self.integrator)

    def preprocessing(self, train: np.ndarray) -> Preprocessing:
        """What features (n, d) become before the network sees them, fitted on them."""
        return preprocess(train, self.components, self.centred, self.scaled)

    def _untrained(self, data: Split) -> FeatureDensity:
        pre = self.preprocessing(data.train)
        size = pre.rotation.shape[1]
        classifier = None
        if self.conditional:
            if data.labels is None:
                raise DataError("a conditional model needs labels of the training features; the data have none")
            classifier = linear_classifier(np.asarray(pre(data.train)), data.labels)
        process: Any = self.process
        return FeatureDensity(
            NetworkDenoiser(Net(self.network, (size,)), None, process), pre, classifier, self.integrator
        )


def linear_classifier(x: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Weights (d, C) and bias (C,) of a logistic regression, for classes numbered by their rank."""
    from sklearn.linear_model import LogisticRegression

    found = LogisticRegression(max_iter=2000).fit(x, labels)
    w, b = found.coef_.T, found.intercept_
    if w.shape[1] == 1:  # two classes have one row
        w, b = np.concatenate([-w, w], 1) / 2, np.concatenate([-b, b]) / 2
    return {"w": w.astype(np.float32), "b": b.astype(np.float32)}


def likelihood_weight(process: Any, t: Any) -> jax.Array:
    """g^2 / sigma^2 of the error of the noise, as a weight on that of x_0, alpha^2 / sigma^2 times larger."""
    _, square = process.drift_diffusion(t)
    sigma, alpha = process.sigma(t), process.alpha(t)
    return square / sigma**2 * (alpha / sigma) ** 2
