"""LAND: locally adaptive normal distributions on a curve in the plane."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.experiment import Run
from genkit.files import read_arrays, write_arrays
from genkit.kinds import Dataset, Model, check_preset
from genkit_latents.data import Points
from genkit_latents.datasets import Shape
from genkit_latents.experiments.study import LatentStudy
from genkit_latents.geometry import log_volume
from genkit_latents.models import LandMixture
from genkit_latents.stats import LandFit

GRID = 48


@dataclass(frozen=True)
class LandDensity(LatentStudy):
    """Normal distributions along geodesics of a metric from the data (Arvanitidis et al. 2016, arXiv 1606.02518).

    The metric is short where there are data, so one locally adaptive normal follows a half circle where a Gaussian
    covers its middle. Densities are compared with respect to the same measure, that of the plane.
    """

    headline = "nll/land_*"

    varied: ClassVar[tuple[str, str]] = ("components", "components")

    data: Dataset[Points] = field(default_factory=lambda: Shape("half_circle", points=150))
    """Points of the plane."""
    components: tuple[int, ...] = (1, 2)
    """Sizes of the mixtures; the first is the model of the run."""
    model: Model[Points, LandFit] = field(default_factory=LandMixture)
    """What is fitted, or the folder of what was."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes), and paper (more of all)."""
        check_preset(name)
        small = {"data": Shape("half_circle", points=40), "components": (1,)} if name == "tiny" else {}
        return cls(model=LandMixture.preset(name), **small)

    def prepare(self, run: Run) -> None:
        """Make the data."""
        if (found := self.loaded(run)).train.shape[1] != 2:
            raise UsageError(f"{found.source} has rows of {found.train.shape[1]}; expected points of the plane")

    def draw(self, run: Run, key: Any, n: int) -> Any:
        """n points (n, 2) of the first mixture."""
        return run.model.sample(key, n)

    def sample(self, run: Run) -> None:
        """Log densities of the mixtures, at test points and on a grid, with respect to the plane."""
        data, found = self.loaded(run), {}
        grid = plane(data.train)
        for k in self.components:
            fit, gauss = self.trained(run, str(k)), _gaussian(data.train, k)
            both = np.concatenate([data.test, grid])
            for kind, law in (("land", _log_density(fit, jnp.asarray(both))), ("gauss", gauss.score_samples(both))):
                values = np.asarray(law, np.float32)
                found[f"test/{kind}_{k}"], found[f"grid/{kind}_{k}"] = np.split(values, [len(data.test)])
            found[f"fit/land_{k}"] = np.asarray(fit.log_likelihood)
            found[f"means/land_{k}"] = np.asarray(fit.components.mean)
            found[f"means/gauss_{k}"] = gauss.means_
        write_arrays(run.folder / "densities.npz", found)

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """nll/<mixture>: -log p of test points, nats, with respect to the plane; mass/<mixture>: its integral over the
        grid, at most 1 where the normaliser is right, since the grid ends within the tails; off/<mixture>: distance of
        the means to the nearest data.
        """
        data, arrays, results = self.loaded(run), read_arrays(run.folder / "densities.npz"), {}
        grid = plane(data.train).reshape(GRID, GRID, 2)
        cell = np.prod(grid[1, 1] - grid[0, 0])
        for name in self._names():
            results[f"nll/{name}"] = -float(arrays[f"test/{name}"].mean())
            results[f"mass/{name}"] = float(np.exp(arrays[f"grid/{name}"]).sum() * cell)
            gaps = np.linalg.norm(arrays[f"means/{name}"][:, None] - data.train, axis=-1).min(1)
            results[f"off/{name}"] = float(gaps.mean())
        return results

    def _names(self) -> list[str]:
        return [f"{kind}_{k}" for k in self.components for kind in ("gauss", "land")]

    def report(self, run: Run) -> None:
        """A table, and the densities."""
        from genkit_latents.figures import density_panels

        arrays, data = read_arrays(run.folder / "densities.npz"), self.loaded(run)
        rows = [[n, *(run.results[f"{key}/{n}"] for key in ("nll", "mass", "off"))] for n in self._names()]
        caption = "Densities with respect to the plane; gauss_k and land_k have k components"
        header = ["model", "test NLL [nats]", "mass on the grid", "means to data"]
        run.table("densities", header, rows, caption, {"test NLL [nats]": "low"})
        shown = {name: (arrays[f"grid/{name}"], arrays[f"means/{name}"]) for name in self._names()}
        run.figure(
            "densities",
            density_panels(shown, plane(data.train), data.train),
            "Density of each model (levels at equal shares of its greatest value), data, and means of the components.",
        )


def plane(x: np.ndarray) -> np.ndarray:
    """A grid (GRID^2, 2) with a margin about points (n, 2)."""
    low, high = x.min(0) - 0.35, x.max(0) + 0.35
    side = [np.linspace(a, b, GRID) for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*side), -1).reshape(-1, 2).astype(np.float32)


@jax.jit
def _log_density(fit: LandFit, x: Any) -> Any:
    """log p + log sqrt det G: from the volume of the metric to that of the plane; -inf where no geodesic was found."""
    manifold = fit.components.manifold
    volume = jax.vmap(lambda z: log_volume(manifold.metric, z))(x)
    value = fit.log_prob(x) + volume
    return jnp.where(jnp.isnan(value), -jnp.inf, value)


def _gaussian(x: np.ndarray, k: int) -> Any:
    from sklearn.mixture import GaussianMixture

    return GaussianMixture(k, n_init=4, random_state=0).fit(x)
