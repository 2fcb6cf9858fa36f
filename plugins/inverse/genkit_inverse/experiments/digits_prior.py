"""`inverse.digits_prior`: a diffusion model of small images, the prior of inverse problems."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import jax
import numpy as np

from genkit.errors import UsageError
from genkit.experiment import Run
from genkit.files import read_arrays, write_arrays
from genkit.kinds import Model, check_preset
from genkit.metrics import sliced_wasserstein
from genkit_inverse.datasets import MNIST
from genkit_inverse.experiments.study import InverseStudy, table
from genkit_inverse.images import Images
from genkit_inverse.models import ImageDiffusion, ImagePrior, loss

SHOWN = 32


@dataclass(frozen=True)
class DigitsPrior(InverseStudy):
    """Train a diffusion model of small images.

    Its run folder is a prior for `inverse.ddsmc_images` and, through `genkit.load_model(folder).denoiser`, for any
    method of `genkit.steer`.
    """

    headline = "sw/samples"

    model: Model[Images, ImageDiffusion] = field(default_factory=ImagePrior)
    """The diffusion model: trained here, or the folder of what was trained."""
    samples: int = 200
    """Images to draw from the prior."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes on two cores), paper (EDM's network for CIFAR-10, on MNIST)."""
        presets: dict[str, dict[str, Any]] = {"tiny": {"samples": 64}, "default": {},
                                              "paper": {"data": MNIST(), "samples": 500}}  # fmt: skip
        check_preset(name, presets)
        return cls(model=ImagePrior.preset(name), **presets[name])

    def __post_init__(self) -> None:
        """Check the sizes."""
        if self.samples < 1:
            raise UsageError(f"samples={self.samples} is too few; expected at least 1")

    def train(self, run: Run) -> None:
        """Train the model, or restore it."""
        run.trained("model", lambda: self.loaded(run))

    def draw(self, run: Run, key: Any, n: int) -> np.ndarray:
        """n images of the prior, (n, h, w, c)."""
        return run.model.sample(key, n)

    def sample(self, run: Run) -> None:
        """Draw images of the prior."""
        write_arrays(run.folder / "prior.npz", {"x": self.draw(run, run.key("sample"), self.samples)})

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Sliced Wasserstein distance of samples and of as many training images to the test images; val and train loss.

        sw/train is the floor: what other images of the same law reach. loss is the denoising loss, 1 for a network
        of zeros by `predicts=edm`; a loss/val far above loss/train tells of a network that knows its images by heart.
        """
        images, key = self.loaded(run), run.key("evaluate")
        truth = images.test.reshape(len(images.test), -1)
        distance = jax.jit(sliced_wasserstein)
        sets = {"samples": self._samples(run), "train": images.train[: self.samples]}
        results: dict[str, float | None] = {
            f"sw/{name}": float(distance(key, x.reshape(len(x), -1), truth)) for name, x in sets.items()
        }
        of = jax.jit(lambda denoiser, x0: loss(key, denoiser, x0))
        n = min(len(images.val), len(images.train))
        for name in ("train", "val"):
            results[f"loss/{name}"] = float(of(run.model.denoiser, getattr(images, name)[:n]))
        return results

    def report(self, run: Run) -> None:
        """The distances, and samples beside test images."""
        from genkit_inverse.figures import grid

        caption = "Distance to the test images; train is the floor"
        table(run, "results", caption, ("samples", "train"), {"sliced Wasserstein": "sw/{}"}, "images",
              {"sliced Wasserstein": "low"}, ["train"])  # fmt: skip
        images = self.loaded(run)
        rows = {"samples of the model": self._samples(run)[:SHOWN], "test images": images.test[:SHOWN]}
        run.figure("samples", grid(rows, images.range), "Samples of the model above, test images below.")

    def _samples(self, run: Run) -> np.ndarray:
        return read_arrays(run.folder / "prior.npz")["x"]

    def plan(self) -> dict[str, str]:
        """Sizes and parameters."""
        model: Any = self.model
        return model.plan(self.shape()) if hasattr(model, "plan") else {}
