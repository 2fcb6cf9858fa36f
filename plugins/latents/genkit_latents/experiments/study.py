"""What all studies of latent spaces share: data, and a recipe with its variants."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from genkit.errors import UsageError
from genkit.experiment import Experiment, Run
from genkit.kinds import Dataset, Model
from genkit_latents.data import Points
from genkit_latents.datasets.shapes import Shape
from genkit_latents.models import VAE, Autoencoder


@dataclass(frozen=True)
class LatentStudy(Experiment):
    """Data, and a model of them or several variants of one, of which the first is the run's own."""

    variants: ClassVar[tuple[str, str] | None] = None
    """the field that lists the variants, and the option of the recipe in which they differ"""

    data: Dataset[Points] = field(default_factory=Shape)
    """Rows, with labels and distances where they are known."""
    model: Model[Points, VAE] = field(default_factory=Autoencoder)
    """What is trained, or the folder of what was."""

    def __post_init__(self) -> None:
        """Make the recipe that of the first variant, and check the others by making them."""
        if self.variants is None:
            return
        several, option = self.variants
        if not getattr(self, several):
            raise UsageError(f"{several} is empty; name at least one")
        first, recipe = getattr(self, several)[0], self.model
        if not hasattr(recipe, option):
            raise UsageError(f"{several}: the recipe {type(recipe).__name__} has no option {option} to tell them apart")
        if getattr(recipe, "restore", None) is None:
            object.__setattr__(self, "model", replace(recipe, **{option: first}))  # type: ignore[type-var]
        elif getattr(recipe, option) != first:
            found = getattr(recipe, option)
            raise UsageError(f"the restored model has {option} {found}; {several} must begin with it, not with {first}")
        self.recipes()

    def recipes(self) -> dict[str, Any]:
        """Recipes by the names of their results; the first is that of the slot, the others are trained from nothing."""
        if self.variants is None:
            return {"": self.model}
        several, option = self.variants
        first, *others = getattr(self, several)
        plain: Any = {"restore": None, "finetune": 0, "fingerprint": None}
        return {str(first): self.model} | {
            str(one): replace(self.model, **{option: one}, **plain)  # type: ignore[type-var]
            for one in others
        }

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
        recipes = self.recipes()
        where = "" if name == next(iter(recipes)) else name
        return run.obtain(where, recipes[name], lambda: self.loaded(run))

    def models_of(self, run: Run) -> dict[str, Any]:
        """All trained models by name."""
        return {name: self.trained(run, name) for name in self.recipes()}
