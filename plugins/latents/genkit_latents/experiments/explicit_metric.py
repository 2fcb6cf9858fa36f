"""Autoencoders whose latent metric is chosen, side by side."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from genkit.experiment import Run
from genkit.kinds import Dataset, Model, check_preset
from genkit_latents.data import Points
from genkit_latents.datasets import Digits
from genkit_latents.experiments import autoencoders
from genkit_latents.experiments.study import LatentStudy
from genkit_latents.models import VAE, Autoencoder
from genkit_latents.networks import Coder


@dataclass(frozen=True)
class ExplicitMetric(LatentStudy):
    """Choose the metric of a latent space and train an autoencoder towards it.

    A decoder pulls a metric of the data back into its latent space (Fisher-Rao of its likelihood). The usual way is to
    train first and to live with what comes out; here a metric is chosen first, a penalty draws the decoder to it, and
    distances, geodesics, balls and volumes then have closed forms. Compared are a plain autoencoder (`plain`), a flat
    one (`euclidean`), a Poincare ball (`hyperbolic`), a sphere (`spherical`, von Mises-Fisher posteriors), and a
    conformal metric that is large where the prior is thin (`target`). `poincare` is the ball without the penalty.
    """

    varied: ClassVar[tuple[str, str]] = ("models", "latent")

    data: Dataset[Points] = field(default_factory=Digits)
    """Rows, with labels and distances where they are known."""
    models: tuple[str, ...] = ("plain", "euclidean", "hyperbolic", "spherical", "target")
    """What is compared: of plain, euclidean, hyperbolic, spherical, target, poincare, or a space such as `h2,s2`. They
    take the place of `latent`; the first is the model of the run."""
    model: Model[Points, VAE] = field(default_factory=lambda: Autoencoder(latent="plain"))
    """What is trained, or the folder of what was."""
    samples: int = 64
    """Draws of the posterior for the bounds on the likelihood."""
    points: int = 150
    """Test rows between which all distances are taken; twice as many training rows for the nearest neighbours."""
    neighbours: int = 5
    """Nearest neighbours that vote."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (2 dimensions, minutes), and paper (longer and wider)."""
        recipe: dict[str, dict[str, Any]] = {
            "tiny": {"steps": 60, "network": Coder(hidden=(16,))},
            "default": {},
            "paper": {"steps": 20_000, "network": Coder(hidden=(256, 256))},
        }
        own: dict[str, dict[str, Any]] = {
            "tiny": {"samples": 4, "points": 20},
            "paper": {"samples": 500, "points": 300},
        }
        check_preset(name, recipe)
        return cls(model=Autoencoder(latent="plain", **recipe[name]), **own.get(name, {}))

    def __post_init__(self) -> None:
        """Check the options."""
        autoencoders.check(self)
        super().__post_init__()

    def plan(self) -> dict[str, str]:
        """Sizes."""
        return autoencoders.plan(self.recipes())

    def sample(self, run: Run) -> None:
        """Codes of the test rows, distances between them, and draws of every model."""
        autoencoders.measure(run, self.models_of(run), self.loaded(run), self.points)

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Scores of every model on the test rows.

        elbo and iwae: bounds on log p, nats a row; reconstruction: E log p(x | z); agreement: mean relative difference
        between chosen and pulled-back metric at the codes, 0 best; condition and volume: see `Agreement`; distortion:
        mean relative error of latent against true distances, up to one factor; worst, pearson, spearman: of the same
        pairs; knn: share of right votes of neighbours in latent distance; clamped: share of draws of the prior that lie
        beyond what float32 can tell from the border of a ball; curvature, where it is learned.
        """
        return autoencoders.scores(run, self.models_of(run), self.loaded(run), self.samples, self.neighbours)

    def report(self, run: Run) -> None:
        """A table of the scores; pictures of the latent spaces, of distances, and of draws."""
        autoencoders.show(run, self.models_of(run), self.loaded(run), self.points)
