"""Geometrically enriched latent spaces: the metric of the ambient space is a choice too."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.experiment import Run
from genkit.experiment.folder import read_arrays, write_arrays
from genkit.kinds import Dataset, Network
from genkit.train import AdamW
from genkit_latents.datasets.shapes import Shape
from genkit_latents.experiments.decoder import DecoderGeodesics, mean_of, shares
from genkit_latents.geometry.ambient import LocalDiagonalPCA
from genkit_latents.geometry.pullback import Pullback
from genkit_latents.models import Setting
from genkit_latents.networks.coder import Coder
from genkit_latents.stats import kmedoids, knn_accuracy


@dataclass(frozen=True)
class Enriched(DecoderGeodesics):
    """Distances in a latent space under an ambient metric of local principal directions.

    Arvanitidis et al. 2021 (arXiv 2008.00565): the ambient metric M is short where there are data, the latent one is
    J' M J, and the decoder's mean is a network plus the line of probabilistic PCA, so that it goes on far from the data
    and leaves them. Compared on two moons in five dimensions: straight latent distances, geodesics of J'J, and
    geodesics of J' M J.
    """

    setting: ClassVar[Setting] = Setting("e2", linear=True)
    segments: ClassVar[int] = 16
    even: ClassVar[float] = 1.0

    data: Dataset = field(default_factory=lambda: Shape("moons", points=1000))
    """Rows with labels."""
    network: Network = field(default_factory=lambda: Coder(hidden=(64, 32), activation="tanh"))
    """Encoder and decoder."""
    steps: int = 4000
    """Training steps."""
    scale: float = 0.3
    """Width of the kernel of the ambient metric."""
    rho: float = 1e-2
    """Its floor."""
    anchors: int = 300
    """Training rows that carry the ambient metric."""
    points: int = 40
    """Test rows between which all distances are taken."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes), and paper (2000 rows, 500 epochs)."""
        small = {"steps": 40, "points": 8, "anchors": 40, "data": Shape("moons", points=100)}
        presets: dict[str, dict[str, Any]] = {
            "tiny": small,
            "default": {},
            "paper": {"steps": 6000, "optimizer": AdamW(lr=1e-3), "data": Shape("moons"), "points": 200},
        }
        if name not in presets:
            raise UsageError(f"no preset {name!r}; there are {', '.join(presets)}")
        return cls(**presets[name])

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if self.anchors < 1 or self.points < 6 or min(self.scale, self.rho) <= 0:
            raise UsageError("expected anchors, at least 6 points, scale and rho above 0")

    def metrics(self, run: Run) -> dict[str, Pullback]:
        """Without and with the ambient metric."""
        rows = jnp.asarray(self.points_of(run).train[: self.anchors])
        mean = mean_of(self.model(run))
        return {"pullback": Pullback(mean), "enriched": Pullback(mean, LocalDiagonalPCA(rows, self.scale, self.rho))}

    def sample(self, run: Run) -> None:
        """Curves between all pairs of test codes."""
        model, data = self.model(run), self.points_of(run)
        codes = model.encode(jnp.asarray(data.test[: self.points]))[0]
        others = np.asarray(model.encode(jnp.asarray(data.train))[0])
        i, j = np.triu_indices(len(codes), 1)
        found = self.curves(run, codes[i], codes[j], others, 200)
        found["length/straight"] = np.linalg.norm(np.asarray(codes)[i] - np.asarray(codes)[j], axis=1)
        write_arrays(run.folder / "curves.npz", found)

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Distances `straight`, `pullback`, `enriched` between test codes.

        ari/<distance>: adjusted Rand index of two medoids with the labels, 1 best; knn/<distance>: share of right votes
        of 5 neighbours, each point left out; off/<distance>: mean distance of the decoded curves to the nearest
        training row; shortening, longest, converged/<metric>: length of geodesics over that of straight lines, by its
        mean and at its largest, and the share that converged.
        """
        from sklearn.metrics import adjusted_rand_score

        data, arrays = self.points_of(run), read_arrays(run.folder / "curves.npz")
        labels, model = data.test_labels[: self.points], self.model(run)
        n = len(labels)
        results: dict[str, float | None] = {}
        for name in ("straight", "pullback", "enriched"):
            d = np.zeros((n, n))
            d[np.triu_indices(n, 1)] = arrays[f"length/{name}"]
            d = d + d.T
            found = kmedoids(d, len(np.unique(labels)))
            results[f"ari/{name}"] = float(adjusted_rand_score(labels, found.labels))
            results[f"knn/{name}"] = knn_accuracy(d + d.max() * np.eye(n), labels, labels, 5)
            x = np.asarray(model.decode(jnp.asarray(arrays[f"curves/{name}"][::5].reshape(-1, 2))))
            results[f"off/{name}"] = float(_nearest(x, data.train).mean())
            if name != "straight":
                results |= shares(arrays, name)
        return results

    def report(self, run: Run) -> None:
        """A table; the latent space with geodesics under both metrics."""
        from genkit_latents.figures import curve_panels

        keys = ("ari", "knn", "off", "shortening", "converged")
        names = ("straight", "pullback", "enriched")
        rows = [[name, *(run.results.get(f"{key}/{name}") for key in keys)] for name in names]
        caption = "Distances between test codes of two moons; off: of decoded curves to the nearest training row"
        run.table("distances", ["distance", "ARI", "kNN", "off the data", "length", "converged"], rows, caption)
        arrays = read_arrays(run.folder / "curves.npz")
        few = np.random.default_rng(0).permutation(len(arrays["curves/straight"]))[:48]
        shown = {name: a[few] if name.startswith("curves/") else a for name, a in arrays.items()}
        run.figure(
            "latent",
            curve_panels(self.metrics(run), self.model(run), shown, self.points_of(run).train),
            "Log magnification of both metrics with codes, geodesics (red) and straight lines (black, dashed); right: "
            "the curves of the enriched metric, decoded, in the first two coordinates.",
        )


def _nearest(x: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Distance of rows of x (n, D) to the nearest row of the data."""
    from scipy.spatial import KDTree

    return np.asarray(KDTree(data).query(x)[0])
