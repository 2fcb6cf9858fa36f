"""What all studies of latent spaces share: data, and a recipe with its variants."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from genkit.experiment import Experiment, Run, obtain_variant, settle_variants, variants
from genkit.kinds import Dataset, Model
from genkit_latents.data import Points
from genkit_latents.datasets import Shape
from genkit_latents.models import VAE, Autoencoder


@dataclass(frozen=True)
class LatentStudy(Experiment):
    """Data, and a model of them or several variants of one, of which the first is the run's own."""

    varied: ClassVar[tuple[str, str] | None] = None
    """the field that lists the variants, and the option of the recipe in which they differ"""

    data: Dataset[Points] = field(default_factory=Shape)
    """Rows, with labels and distances where they are known."""
    model: Model[Points, VAE] = field(default_factory=Autoencoder)
    """What is trained, or the folder of what was."""

    def __post_init__(self) -> None:
        """Make the recipe that of the first variant."""
        if self.varied is not None:
            settle_variants(self, *self.varied)

    def recipes(self) -> dict[str, Any]:
        """Recipes by the names of their results."""
        return {"": self.model} if self.varied is None else variants(self, *self.varied)

    def loaded(self, run: Run) -> Any:
        """The data."""
        return run.once("data", self.data.load)

    def prepare(self, run: Run) -> None:
        """Load the data."""
        self.loaded(run)

    def train(self, run: Run) -> None:
        """Train the models one after the other, or restore the first."""
        for name in self.recipes():
            self.trained(run, name)

    def trained(self, run: Run, name: str = "") -> Any:
        """The trained model of a name."""
        return obtain_variant(run, self.recipes(), name, lambda: self.loaded(run))

    def models_of(self, run: Run) -> dict[str, Any]:
        """All trained models by name."""
        return {name: self.trained(run, name) for name in self.recipes()}

    def draw(self, run: Run, key: Any, n: int) -> Any:
        """n draws of the first model, (n, D)."""
        return run.model.decode(run.model.codes(key, n))
