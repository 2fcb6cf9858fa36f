"""Generative models of events on the globe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import jax.numpy as jnp
import numpy as np

from genkit.chain import draw
from genkit.errors import UsageError
from genkit.experiment import Run
from genkit.files import read_arrays, write_arrays
from genkit.kinds import Dataset, Model, check_preset
from genkit_latents.data import OnManifold
from genkit_latents.datasets import Events
from genkit_latents.distributions import VonMisesFisher
from genkit_latents.experiments.study import LatentStudy
from genkit_latents.flows import ManifoldModel
from genkit_latents.geometry.manifolds import Sphere
from genkit_latents.models import METHODS, ManifoldDensity

KENT, RSGM = "mixture of Kent", "RSGM (De Bortoli et al. 2022)"
PUBLISHED = {  # test NLL of De Bortoli et al. 2022, table 2; their splits are not ours
    "volcano": {KENT: -0.80, "Riemannian CNF": -6.05, "Moser flow": -4.21, "stereographic SGM": -3.80, RSGM: -4.92},
    "earthquake": {KENT: 0.33, "Riemannian CNF": 0.14, "Moser flow": -0.16, "stereographic SGM": -0.19, RSGM: -0.19},
    "flood": {KENT: 0.73, "Riemannian CNF": 1.11, "Moser flow": 0.57, "stereographic SGM": 0.59, RSGM: 0.48},
    "fire": {KENT: 1.18, "Riemannian CNF": -0.80, "Moser flow": -1.28, "stereographic SGM": -1.28, RSGM: -1.33},
}
CONCENTRATIONS = np.geomspace(3, 3e5, 41)


@dataclass(frozen=True)
class ManifoldDiffusion(LatentStudy):
    """Learn the density of events on the sphere by Riemannian flow matching and by a Riemannian score.

    Both train one tangent field and give exact densities by the change of variables along an ODE. The score needs the
    heat kernel of the sphere, flow matching only geodesics (Chen and Lipman 2024, De Bortoli et al. 2022). Parameters
    are those with the best likelihood of validation events. A kernel density estimate (von Mises-Fisher around every
    training event, concentration from validation events) shows what smoothing reaches.
    """

    headline = "nll/score"

    varied: ClassVar[tuple[str, str]] = ("models", "method")

    data: Dataset[OnManifold] = field(default_factory=Events)
    """Events as points of the unit sphere."""
    models: tuple[str, ...] = ("flow", "score")
    """What is trained: of flow, score. They take the place of `method`; the first is the model of the run."""
    model: Model[OnManifold, ManifoldModel] = field(default_factory=ManifoldDensity)
    """What is trained, or the folder of what was."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes), and paper (5 layers of 512, 600 000 steps)."""
        check_preset(name)
        return cls(model=ManifoldDensity.preset(name))

    def __post_init__(self) -> None:
        """Check the options."""
        if not self.models or not set(self.models) <= set(METHODS):
            raise UsageError(f"models={self.models}; expected some of {', '.join(METHODS)}")
        super().__post_init__()

    def prepare(self, run: Run) -> None:
        """Load the data."""
        data = self.loaded(run)
        if not isinstance(data.manifold, Sphere) or data.manifold.shape != (3,):
            raise UsageError(f"{data.source} is on {data.manifold}; expected points of the sphere in space")

    def draw(self, run: Run, key: Any, n: int) -> Any:
        """n points (n, 3) of the first model."""
        return draw(key, run.model.chain(run.model.steps), n)

    def sample(self, run: Run) -> None:
        """1000 events of every model, and its density on a grid of the globe."""
        grid, found = globe(), {}
        for name, model in self.models_of(run).items():
            found[f"events/{name}"] = np.asarray(draw(run.key("events"), model.chain(model.steps), 1000))
            found[f"log_density/{name}"] = np.asarray(model.log_prob(jnp.asarray(grid), max(model.steps // 2, 1)))
        write_arrays(run.folder / "events.npz", found)

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Held-out events.

        nll/<model>, nll_train/<model>: mean -log p with respect to the area of the unit sphere, nats; that of the
        uniform distribution is log 4 pi = 2.531; `kde` is the kernel estimate, kde_concentration its best value;
        repeated: share of the test events that are in the training set too, to the digit: their density may grow
        without limit; nll_new/<model>: the mean over the others.
        """
        data = self.loaded(run)
        known = {tuple(x) for x in data.train}
        new = np.array([tuple(x) not in known for x in data.test])
        kappa = self._concentration(data)
        results: dict[str, float | None] = {"repeated": float(1 - new.mean()), "kde_concentration": kappa}
        found = {
            "uniform": np.full(len(new), np.log(4 * np.pi)),
            "kde": -kernel_density(data.train, kappa, data.test),
        }
        for name, model in self.models_of(run).items():
            found[name] = -np.asarray(model.log_prob(jnp.asarray(data.test)))
            train = jnp.asarray(data.train[: len(data.test)])
            results[f"nll_train/{name}"] = float(-model.log_prob(train).mean())
        for name, nll in found.items():
            results[f"nll/{name}"] = float(nll.mean())
            results[f"nll_new/{name}"] = float(nll[new].mean()) if new.any() else None
        return results

    @staticmethod
    def _concentration(data: OnManifold) -> float:
        """The one with the best likelihood of the validation events."""
        scores = [kernel_density(data.train, kappa, data.val).mean() for kappa in CONCENTRATIONS]
        return float(CONCENTRATIONS[int(np.argmax(scores))])

    def report(self, run: Run) -> None:
        """A table beside the published figures; densities and samples on the globe."""
        from genkit_latents.figures import globes

        names = ("uniform", "kde", *self.models)
        rows = [[name, run.results[f"nll/{name}"], run.results[f"nll_new/{name}"]] for name in names]
        kind = getattr(self.data, "kind", None)
        rows += [[f"{name}, published", value, None] for name, value in PUBLISHED.get(kind or "", {}).items()]
        caption = "Mean -log p of test events, nats; the last column without those that are in the training set too"
        header = ["model", "test NLL [nats]", "new events [nats]"]
        aside = [row[0] for row in rows if row[0].endswith("published")]
        run.table("likelihood", header, rows, caption, {"*[[]nats]": "low"}, aside=aside)
        arrays = read_arrays(run.folder / "events.npz")
        run.figure(
            "globes",
            globes(
                {name: arrays[f"log_density/{name}"] for name in self.models},
                {name: arrays[f"events/{name}"] for name in self.models},
                self.loaded(run).test,
            ),
            "Above: log density of each model with the test events (red). Below: draws of each model.",
        )


def globe(rows: int = 40) -> np.ndarray:
    """Points (2 rows^2, 3) of a grid of latitudes and longitudes."""
    theta, phi = (np.arange(rows) + 0.5) * np.pi / rows, (np.arange(2 * rows) + 0.5) * np.pi / rows
    theta, phi = (a.ravel() for a in np.meshgrid(theta, phi, indexing="ij"))
    return np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], 1).astype(np.float32)


def kernel_density(train: np.ndarray, kappa: float, x: np.ndarray) -> np.ndarray:
    """log of the mean of von Mises-Fisher densities of concentration kappa around the training events, (n,)."""
    constant = float(VonMisesFisher(Sphere(), Sphere().origin, kappa).log_constant())
    exponent = kappa * (x.astype(np.float64) @ train.T.astype(np.float64))
    most = exponent.max(1, keepdims=True)
    return constant + most[:, 0] + np.log(np.exp(exponent - most).mean(1))
