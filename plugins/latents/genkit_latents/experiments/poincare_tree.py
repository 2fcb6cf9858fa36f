"""A tree in the plane: hyperbolic against Euclidean codes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from genkit.experiment import Run
from genkit.kinds import Dataset, Model, check_preset
from genkit.train import AdamW
from genkit_latents.data import Points
from genkit_latents.datasets import Tree
from genkit_latents.experiments import autoencoders
from genkit_latents.experiments.study import LatentStudy
from genkit_latents.models import VAE, Autoencoder
from genkit_latents.networks import Coder


def _recipe(**options: Any) -> Autoencoder:
    """Of Mathieu et al. 2019."""
    optimizer = AdamW(lr=1e-3, schedule="constant")
    own: dict[str, Any] = {
        "latent": "plain", "weight": 5.0, "curvature": 1.2, "prior_std": 1.7, "posterior": "radial", "steps": 3000,
        "batch": 64, "network": Coder(hidden=(200,)), "optimizer": optimizer,
    }  # fmt: skip
    return Autoencoder(**own | options)


@dataclass(frozen=True)
class PoincareTree(LatentStudy):
    """Embed noisy data of a tree in two dimensions and compare latent with tree distances.

    The recipe of Mathieu et al. 2019 (arXiv 1901.06033), section 5.1: a Poincare ball of curvature -1.2 with Riemannian
    normals as prior (deviation 1.7) and posteriors, a Gaussian likelihood of unit variance, one hidden layer of 200.
    The flat autoencoder has the same prior deviation. With `hyperbolic` and `euclidean` the decoder is drawn to the
    metric.
    """

    varied: ClassVar[tuple[str, str]] = ("models", "latent")

    data: Dataset[Points] = field(default_factory=Tree)
    """Rows, with labels and distances where they are known."""
    models: tuple[str, ...] = ("plain", "poincare", "euclidean", "hyperbolic")
    """What is compared: of plain, euclidean, hyperbolic, spherical, target, poincare, or a space such as `h2,s2`. They
    take the place of `latent`; the first is the model of the run."""
    model: Model[Points, VAE] = field(default_factory=_recipe)
    """What is trained, or the folder of what was."""
    samples: int = 64
    """Draws of the posterior for the bounds on the likelihood."""
    points: int = 150
    """Test rows between which all distances are taken; twice as many training rows for the nearest neighbours."""
    neighbours: int = 5
    """Nearest neighbours that vote."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes), and paper (1000 epochs, 5000 draws)."""
        if name == "tiny":
            return cls(model=_recipe(steps=40, network=Coder(hidden=(16,))), samples=4, points=20, data=Tree(depth=4))
        check_preset(name)
        return cls() if name == "default" else cls(model=_recipe(steps=7000), samples=5000)

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
        """Scores of every model on the test rows, see `latents.explicit_metric`."""
        return autoencoders.scores(run, self.models_of(run), self.loaded(run), self.samples, self.neighbours)

    def report(self, run: Run) -> None:
        """A table of the scores; pictures of the latent spaces, of distances, and of draws."""
        autoencoders.show(run, self.models_of(run), self.loaded(run), self.points)
