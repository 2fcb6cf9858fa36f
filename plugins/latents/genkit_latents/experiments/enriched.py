"""Geometrically enriched latent spaces: the metric of the ambient space is a choice too."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.experiment import Best, Run
from genkit.files import read_arrays, write_arrays
from genkit.kinds import Dataset, Model, check_preset
from genkit.train import AdamW
from genkit_latents.data import Points
from genkit_latents.datasets import Shape
from genkit_latents.experiments.curves import check, curves, shares
from genkit_latents.experiments.study import LatentStudy
from genkit_latents.geometry import LocalDiagonalPCA, Pullback, stochastic
from genkit_latents.geometry.geodesics import Energy, Graph
from genkit_latents.models import VAE, Autoencoder
from genkit_latents.networks import Coder
from genkit_latents.stats import kmedoids, knn_accuracy

SOLVER = Energy(16, iterations=50, even=1.0)


def _recipe(**options: Any) -> Autoencoder:
    """Of the authors; for the width 1.5 of their code for round clusters."""
    own: dict[str, Any] = {
        "linear": True, "weight": 0.0, "curvature": 1.0, "warmup": 0.35, "centres": 100, "width": 1.13, "steps": 8000,
        "network": Coder(hidden=(64, 32), activation="tanh", apart=True),
        "optimizer": AdamW(lr=1e-3, schedule="constant"),
    }  # fmt: skip
    return Autoencoder(**own | options)


@dataclass(frozen=True)
class Enriched(LatentStudy):
    """Distances in a latent space under an ambient metric of local principal directions.

    Arvanitidis et al. 2021 (arXiv 2008.00565): the ambient metric M is short where there are data, the latent one is
    J' M J for the Jacobians of both mean and deviation, and the decoder's mean is a network plus the line of
    probabilistic PCA, so that it goes on far from the data and leaves them. Compared on two moons in five dimensions:
    straight latent distances, geodesics without M, and geodesics with it.
    """

    headline = "ari/enriched"

    data: Dataset[Points] = field(default_factory=lambda: Shape("moons", points=2500))
    """Rows with labels."""
    model: Model[Points, VAE] = field(default_factory=_recipe)
    """What is trained, or the folder of what was; with a deviation (`centres`)."""
    scale: float = 0.3
    """Width of the kernel of the ambient metric."""
    rho: float = 1e-2
    """Its floor."""
    anchors: int = 300
    """Training rows that carry the ambient metric."""
    points: int = 300
    """Test rows between which all distances are taken, along a graph of them."""
    pairs: int = 48
    """Pairs of them between which geodesics are found."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (the published training, 500 epochs of 2000 rows), and paper (more distances)."""
        if name == "tiny":
            model = _recipe(steps=40, centres=8)
            return cls(model=model, points=20, pairs=4, anchors=40, data=Shape("moons", points=100))
        check_preset(name)
        return cls() if name == "default" else cls(points=500, pairs=500, anchors=2000)

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        check(self.model)
        if min(self.anchors, self.pairs) < 1 or self.points < 10 or min(self.scale, self.rho) <= 0:
            raise UsageError("expected anchors, pairs, at least 10 points, scale and rho above 0")

    def metrics(self, run: Run) -> dict[str, Pullback]:
        """Without and with the ambient metric."""
        model, rows = self.trained(run), jnp.asarray(self.loaded(run).train[: self.anchors])
        ambient = LocalDiagonalPCA(rows, self.scale, self.rho)
        both = model.mean_map, model.deviation
        return {"pullback": stochastic(*both), "enriched": stochastic(*both, ambient)}

    def prepare(self, run: Run) -> None:
        """Make the data."""
        if (data := self.loaded(run)).test_labels is None:
            raise UsageError(f"{data.source} has no labels; latents.enriched compares distances with them")

    def sample(self, run: Run) -> None:
        """All distances between test codes along a graph of them, and geodesics between some."""
        model, data = self.trained(run), self.loaded(run)
        codes, others = (np.asarray(model.encode(jnp.asarray(x))[0]) for x in (data.test[: self.points], data.train))
        i, j = np.random.default_rng(0).permuted(np.tile(np.arange(len(codes)), (self.pairs, 1)), axis=1)[:, :2].T
        found = curves(self.metrics(run), jnp.asarray(codes[i]), jnp.asarray(codes[j]), others, 200, SOLVER)
        found["distances/straight"] = np.linalg.norm(codes[:, None] - codes, axis=-1)
        for name, metric in self.metrics(run).items():
            found[f"distances/{name}"] = np.asarray(Graph.build(metric, codes, len(codes) // 4).distances)
        write_arrays(run.folder / "curves.npz", found)

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Distances `straight`, `pullback`, `enriched` between test codes.

        ari/<distance>: adjusted Rand index of two medoids with the labels, 1 best; contrast/<distance>: mean distance
        between points of different moons over that within a moon; knn/<distance>: share of right votes of 5 neighbours,
        each point left out; off/<distance>: mean distance of the decoded curves to the nearest training row;
        shortening, longest, converged/<metric>: length of geodesics over that of straight lines, by its mean and at its
        largest, and the share that converged.
        """
        from sklearn.metrics import adjusted_rand_score

        data, arrays = self.loaded(run), read_arrays(run.folder / "curves.npz")
        labels, model = data.test_labels[: self.points], self.trained(run)
        n = len(labels)
        results: dict[str, float | None] = {}
        for name in ("straight", "pullback", "enriched"):
            d = arrays[f"distances/{name}"].astype(np.float64)
            found = kmedoids(d, len(np.unique(labels)))
            results[f"ari/{name}"] = float(adjusted_rand_score(labels, found.labels))
            same = labels[:, None] == labels
            results[f"contrast/{name}"] = float(d[~same].mean() / d[same & ~np.eye(n, dtype=bool)].mean())
            results[f"knn/{name}"] = knn_accuracy(d + d.max() * np.eye(n), labels, labels, 5)
            x = np.asarray(model.decode(jnp.asarray(arrays[f"curves/{name}"].reshape(-1, 2))))
            results[f"off/{name}"] = float(_nearest(x, data.train).mean())
            if name != "straight":
                results |= shares(arrays, name)
        return results

    def report(self, run: Run) -> None:
        """A table; the latent space with geodesics under both metrics."""
        from genkit_latents.figures import curve_panels

        keys = ("ari", "contrast", "knn", "off", "shortening", "converged")
        names = ("straight", "pullback", "enriched")
        rows = [[name, *(run.results.get(f"{key}/{name}") for key in keys)] for name in names]
        caption = "Distances between test codes of two moons; off: of decoded curves to the nearest training row"
        columns = ["distance", "ARI", "contrast", "kNN", "off the data", "length", "converged"]
        best: Best = {"ARI": "high", "contrast": "high", "kNN": "high", "off the data": "low"}
        run.table("distances", columns, rows, caption, best)
        arrays = read_arrays(run.folder / "curves.npz")
        run.figure(
            "latent",
            curve_panels(self.metrics(run), self.trained(run), arrays, self.loaded(run).train),
            "Log magnification of both metrics with codes, geodesics (red) and straight lines (black, dashed); right: "
            "the curves of the enriched metric, decoded, in the first two coordinates.",
        )


def _nearest(x: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Distance of rows of x (n, D) to the nearest row of the data."""
    from scipy.spatial import KDTree

    return np.asarray(KDTree(data).query(x)[0])
