"""Geometrically enriched latent spaces: the metric of the ambient space is a choice too."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.experiment import Experiment, Run
from genkit.experiment.folder import write_arrays
from genkit.kinds import Dataset, Network, Optimizer
from genkit.train import AdamW
from genkit_latents.data import Points
from genkit_latents.datasets.shapes import Shape
from genkit_latents.geometry.ambient import LocalDiagonalPCA
from genkit_latents.geometry.geodesics import Energy, Graph, Hybrid, solve
from genkit_latents.geometry.paths import straight
from genkit_latents.geometry.pullback import Pullback
from genkit_latents.models import VAE, Setting, train_phase
from genkit_latents.networks.coder import Coder
from genkit_latents.stats import kmedoids, knn_accuracy

SEGMENTS = 16


@dataclass(frozen=True)
class Enriched(Experiment):
    """Distances in a latent space under an ambient metric of local principal directions.

    Arvanitidis et al. 2021 (arXiv 2008.00565): the ambient metric M is short where there are data, the latent one is
    J' M J, and the decoder's mean is a network plus the line of probabilistic PCA, so that it goes on far from the data
    and leaves them. Compared on two moons in five dimensions: straight latent distances, geodesics of J'J, and
    geodesics of J' M J.
    """

    data: Dataset = field(default_factory=lambda: Shape("moons", points=1000))
    """Rows with labels."""
    network: Network = field(default_factory=lambda: Coder(hidden=(64, 32), activation="tanh"))
    """Encoder and decoder."""
    optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=3e-3))
    """The optimiser."""
    steps: int = 4000
    """Training steps."""
    batch: int = 128
    """Rows in a step."""
    scale: float = 0.3
    """Width of the kernel of the ambient metric."""
    rho: float = 1e-2
    """Its floor."""
    anchors: int = 300
    """Training rows that carry the ambient metric."""
    points: int = 60
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
        for name in ("steps", "batch", "anchors"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")
        if self.points < 6 or min(self.scale, self.rho) <= 0:
            raise UsageError("expected at least 6 points, scale and rho above 0")

    def prepare(self, run: Run) -> None:
        """Make the data."""
        self._data(run)

    def _data(self, run: Run) -> Points:
        return run.once("data", self.data.load)

    def train(self, run: Run) -> None:
        """Train the autoencoder."""
        self._model(run)

    def _model(self, run: Run) -> VAE:
        def make() -> VAE:
            phase, model = train_phase(
                "vae",
                Setting("e2", linear=True),
                self.network,  # type: ignore[arg-type]
                self._data(run).train,
                "gaussian",
                steps=self.steps,
                batch=self.batch,
                optimizer=self.optimizer,
            )
            return replace(model, params=run.fit(phase).averaged)

        return run.once("vae", make)

    def _metrics(self, run: Run) -> dict[str, Pullback]:
        rows = jnp.asarray(self._data(run).train[: self.anchors])
        mean = jax.tree_util.Partial(_mean, self._model(run))
        ambient = LocalDiagonalPCA(rows, self.scale, self.rho)
        return {"pullback": Pullback(mean), "enriched": Pullback(mean, ambient)}

    def draw(self, run: Run, key: Any, n: int) -> Any:
        """n draws (n, D)."""
        return self._model(run).sample(key, n)

    def sample(self, run: Run) -> None:
        """Distances between test codes, with curves."""
        model, data = self._model(run), self._data(run)
        codes = model.encode(jnp.asarray(data.test[: self.points]))[0]
        others = np.asarray(model.encode(jnp.asarray(data.train))[0])
        n = len(codes)
        i, j = np.triu_indices(n, 1)
        line = jax.vmap(lambda p, q: straight(p, q, SEGMENTS))(codes[i], codes[j])
        found = {"codes": others, "curves/straight": np.asarray(line)}
        found["distances/straight"] = np.linalg.norm(np.asarray(codes)[i] - np.asarray(codes)[j], axis=1)
        for name, metric in self._metrics(run).items():
            graph = Graph.build(metric, others[:: max(1, len(others) // 200)], 8)
            best = solve(Hybrid(graph, Energy(SEGMENTS, even=1.0)), metric, codes[i], codes[j])
            found[f"curves/{name}"] = np.asarray(best.curve)
            found[f"distances/{name}"] = np.asarray(best.length)
            found[f"converged/{name}"] = np.asarray(best.converged)
        write_arrays(run.folder / "curves.npz", found)

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Distances `straight`, `pullback`, `enriched` between test codes.

        ari/<distance>: adjusted Rand index of two medoids with the labels, 1 best; knn/<distance>: share of right votes
        of 5 neighbours, each point left out; off/<distance>: mean distance of the decoded curves to the nearest
        training row; converged/<metric>: share of geodesics.
        """
        from sklearn.metrics import adjusted_rand_score

        data, arrays, results = self._data(run), _load(run), {}
        labels = data.test_labels[: self.points]
        n = len(labels)
        model = self._model(run)
        for name in ("straight", "pullback", "enriched"):
            d = np.zeros((n, n))
            d[np.triu_indices(n, 1)] = arrays[f"distances/{name}"]
            d = d + d.T
            found = kmedoids(d, len(np.unique(labels)))
            results[f"ari/{name}"] = float(adjusted_rand_score(labels, found.labels))
            results[f"knn/{name}"] = knn_accuracy(d + d.max() * np.eye(n), labels, labels, 5)
            x = np.asarray(model.decode(jnp.asarray(arrays[f"curves/{name}"][::5].reshape(-1, 2))))
            results[f"off/{name}"] = float(_nearest(x, data.train).mean())
            if name != "straight":
                results[f"converged/{name}"] = float(arrays[f"converged/{name}"].mean())
        return results

    def report(self, run: Run) -> None:
        """A table; the latent space with geodesics under both metrics."""
        from genkit_latents.figures import curve_panels

        keys = ("ari", "knn", "off", "converged")
        names = ("straight", "pullback", "enriched")
        rows = [[name, *(run.results.get(f"{key}/{name}") for key in keys)] for name in names]
        caption = "Distances between test codes of two moons; off: of decoded curves to the nearest training row"
        run.table("distances", ["distance", "ARI", "kNN", "off the data", "converged"], rows, caption)
        arrays = _load(run)
        few = np.random.default_rng(0).permutation(len(arrays["curves/straight"]))[:48]
        shown = {name: a[few] if name.startswith("curves/") else a for name, a in arrays.items()}
        run.figure(
            "latent",
            curve_panels(self._metrics(run), self._model(run), shown, self._data(run).train),
            "Log magnification of both metrics with codes, geodesics (red) and straight lines (black, dashed); right: "
            "the curves of the enriched metric, decoded, in the first two coordinates.",
        )


def _mean(model: VAE, z: Any) -> Any:
    return model.family.mean(model.eta(z))


def _nearest(x: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Distance of rows of x (n, D) to the nearest row of the data."""
    from scipy.spatial import KDTree

    return np.asarray(KDTree(data).query(x)[0])


def _load(run: Run) -> dict[str, np.ndarray]:
    with np.load(run.folder / "curves.npz") as file:
        return dict(file)
