"""Autoencoders whose latent metric is chosen, side by side."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.experiment import Experiment, Run
from genkit.experiment.folder import read_arrays, write_arrays
from genkit.kinds import Dataset, Network, Optimizer
from genkit.train import AdamW
from genkit_latents.data import Points
from genkit_latents.datasets.digits import Digits
from genkit_latents.geometry.ambient import InverseDensity
from genkit_latents.geometry.geodesics import Energy
from genkit_latents.geometry.numeric import Numeric
from genkit_latents.models import VAE, Setting, agreement, elbo, importance_bound, train_phase
from genkit_latents.networks.coder import Coder
from genkit_latents.stats import distances, distortion, knn_accuracy

COARSE = Energy(8, even=0.5)  # for tables of distances, where 1e-3 is enough
CHUNK = 64  # test rows at a time


def log_prior(z: Any) -> Any:
    """log of the standard normal density over that at its mode."""
    return -0.5 * (z @ z)


@dataclass(frozen=True)
class ExplicitMetric(Experiment):
    """Choose the metric of a latent space and train an autoencoder towards it.

    A decoder pulls a metric of the data back into its latent space (Fisher-Rao of its likelihood). The usual way is to
    train first and to live with what comes out; here a metric is chosen first, a penalty draws the decoder to it, and
    distances, geodesics, balls and volumes then have closed forms. Compared are a plain autoencoder (`plain`), a flat
    one (`euclidean`), a Poincare ball (`hyperbolic`), a sphere (`spherical`, von Mises-Fisher posteriors), and a
    conformal metric that is large where the prior is thin (`target`). `poincare` is the ball without the penalty.
    """

    data: Dataset = field(default_factory=Digits)
    """Rows with labels and distances."""
    models: tuple[str, ...] = ("plain", "euclidean", "hyperbolic", "spherical", "target")
    """What is compared: of plain, euclidean, hyperbolic, spherical, target, poincare."""
    dim: int = 2
    """Dimensions of the latent space."""
    weight: float = 20.0
    """Of the penalty, in nats."""
    curvature: float = 0.3
    """|curvature| of the Poincare ball; the sphere has radius 1."""
    learn_curvature: bool = False
    """Learn the curvatures."""
    prior_std: float = 1.0
    """Deviation of the prior where it is a (Riemannian) normal."""
    posterior: Literal["wrapped", "radial"] = "wrapped"
    """Posterior of the Poincare ball: wrapped normals, or isotropic Riemannian normals."""
    most: float = 4.0
    """Magnification of the target metric far from the prior, 1 at its mode."""
    likelihood: Literal["data", "normal", "gaussian", "bernoulli", "poisson", "negative_binomial"] = "data"
    """Family of the decoder; that of the data set if not another one."""
    network: Network = field(default_factory=Coder)
    """Encoder and decoder."""
    optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=2e-3))
    """The optimiser."""
    steps: int = 2000
    """Training steps of each model."""
    batch: int = 128
    """Rows in a step."""
    samples: int = 64
    """Draws of the posterior for the bounds on the likelihood."""
    points: int = 150
    """Test rows between which all distances are taken; twice as many training rows for the nearest neighbours."""
    neighbours: int = 5
    """Nearest neighbours that vote."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (2 dimensions, minutes), and paper (longer and wider)."""
        presets: dict[str, dict[str, Any]] = {
            "tiny": {"steps": 60, "samples": 4, "points": 20, "network": Coder(hidden=(16,))},
            "default": {},
            "paper": {"steps": 20_000, "network": Coder(hidden=(256, 256)), "samples": 500, "points": 300},
        }
        if name not in presets:
            raise UsageError(f"no preset {name!r}; there are {', '.join(presets)}")
        return cls(**presets[name])

    def __post_init__(self) -> None:
        """Check the options by making what they describe."""
        for name in ("steps", "batch", "samples", "neighbours", "dim"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")
        if self.weight <= 0 or self.most <= 1 or self.points <= self.neighbours:
            raise UsageError("expected weight > 0, most > 1 and more points than neighbours")
        if not self.models:
            raise UsageError("models is empty; name at least one")
        self.settings()

    def settings(self) -> dict[str, Setting]:
        """The models by the names of their results."""
        common = Setting(prior_std=self.prior_std, learn_curvature=self.learn_curvature)
        ball = replace(common, latent=f"p{self.dim}", curvature=self.curvature, posterior=self.posterior)
        flat = replace(common, latent=f"e{self.dim}")
        metric = InverseDensity.between(log_prior, 1.0, self.dim, 1.0, self.most)
        sphere = replace(common, latent=f"s{self.dim}", posterior="radial")
        known = {
            "plain": flat,
            "euclidean": replace(flat, weight=self.weight),
            "hyperbolic": replace(ball, weight=self.weight),
            "spherical": replace(sphere, weight=self.weight),
            "target": replace(flat, weight=self.weight, metric=metric),
            "poincare": ball,
        }
        for name in self.models:
            if name not in known:
                raise UsageError(f"unknown model {name!r}; known: {', '.join(known)}")
        return {name: known[name] for name in self.models}

    def plan(self) -> dict[str, str]:
        """Sizes."""
        return {"models": ", ".join(self.models), "training": f"{self.steps} steps of {self.batch} rows each"}

    def prepare(self, run: Run) -> None:
        """Load the data."""
        self._data(run)

    def _data(self, run: Run) -> Points:
        return run.once("data", self.data.load)

    def train(self, run: Run) -> None:
        """Train the models one after the other."""
        for name in self.models:
            self._model(run, name)

    def _model(self, run: Run, name: str) -> VAE:
        """The trained model of this name, with averaged parameters."""

        def make() -> VAE:
            data, coder = self._data(run), self.network
            family = data.likelihood if self.likelihood == "data" else self.likelihood
            phase, model = train_phase(
                name,
                self.settings()[name],
                coder,  # type: ignore[arg-type]
                data.train,
                family,
                steps=self.steps,
                batch=self.batch,
                optimizer=self.optimizer,
            )
            return replace(model, params=run.fit(phase).averaged)

        return run.once(f"model {name}", make)

    def draw(self, run: Run, key: Any, n: int) -> Any:
        """n draws of the first model, (n, D)."""
        return self._model(run, self.models[0]).sample(key, n)

    def sample(self, run: Run) -> None:
        """Codes of the test rows, distances between them, and draws of every model."""
        data, found = self._data(run), {}
        few, many = data.test[: self.points], data.train[: 2 * self.points]
        for name in self.models:
            model = self._model(run, name)
            encode = jax.jit(VAE.encode)
            found[f"codes/{name}"] = np.asarray(encode(model, data.test)[0])
            latent = model.chosen
            if isinstance(latent, Numeric):
                latent = replace(latent, solver=COARSE)
            codes, others = (encode(model, x)[0] for x in (few, many))
            found[f"distances/{name}"] = distances(latent, codes, codes)
            found[f"to_train/{name}"] = distances(latent, codes, others)
            found[f"draws/{name}"] = np.asarray(model.sample(run.key("draws"), 64))
        write_arrays(run.folder / "codes.npz", found)

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Scores of every model on the test rows.

        elbo and iwae: bounds on log p, nats a row; reconstruction: E log p(x | z); agreement: mean relative difference
        between chosen and pulled-back metric at the codes, 0 best; condition and volume: see `Agreement`; distortion:
        mean relative error of latent against true distances, up to one factor; worst, pearson, spearman: of the same
        pairs; knn: share of right votes of neighbours in latent distance.
        """
        data, arrays, results = self._data(run), read_arrays(run.folder / "codes.npz"), {}
        for name in self.models:
            model = self._model(run, name)
            bound, fit, tight = self._bounds(run, model, data.test)
            results |= {f"elbo/{name}": bound, f"iwae/{name}": tight, f"reconstruction/{name}": fit}
            scores = _agreement(model, jnp.asarray(arrays[f"codes/{name}"]))
            results[f"agreement/{name}"] = float(scores.difference)
            results[f"condition/{name}"] = float(scores.condition)
            results[f"volume/{name}"] = float(scores.volume)
            latent = arrays[f"distances/{name}"]
            if data.distances is not None:
                score = distortion(latent, data.distances[: len(latent), : len(latent)])
                results |= {
                    f"distortion/{name}": score.mean, f"worst/{name}": score.worst,
                    f"pearson/{name}": score.pearson, f"spearman/{name}": score.spearman,
                }  # fmt: skip
            across = arrays[f"to_train/{name}"]
            labels = data.train_labels[: across.shape[1]], data.test_labels[: len(across)]
            results[f"knn/{name}"] = knn_accuracy(across, *labels, k=self.neighbours)
            if self.learn_curvature:
                results[f"curvature/{name}"] = float(getattr(model.latent, "kappa", np.nan))
        return results

    def _bounds(self, run: Run, model: VAE, x: np.ndarray) -> tuple[float, float, float]:
        """Means of the ELBO, of E log p(x | z) and of the importance-weighted bound."""

        @jax.jit
        def some(model: VAE, key: Any, x: Any) -> Any:
            value, fit = elbo(model, key, x, self.samples)
            return jnp.stack([value, fit, importance_bound(model, key, x, self.samples)], 1)

        rows = []
        for i in range(0, len(x), CHUNK):
            part = x[max(0, min(i, len(x) - CHUNK)) :][:CHUNK]  # one shape, so one program
            values = np.asarray(some(model, jax.random.fold_in(run.key("bounds"), i), part))
            rows.append(values[-(min(len(x), i + CHUNK) - i) :])
        return tuple(float(v) for v in np.concatenate(rows).mean(0))  # type: ignore[return-value]

    def report(self, run: Run) -> None:
        """A table of the scores; pictures of the latent spaces, of distances, and of draws."""
        from genkit_latents.figures import distance_panels, images, latent_panels

        data, arrays = self._data(run), read_arrays(run.folder / "codes.npz")
        columns = {
            "ELBO": "elbo", "IWAE": "iwae", "agreement": "agreement", "condition": "condition",
            "var log volume": "volume", "distortion": "distortion", "Spearman": "spearman", "kNN": "knn",
        }  # fmt: skip
        rows = [[name, *(run.results.get(f"{key}/{name}") for key in columns.values())] for name in self.models]
        caption = f"Test rows of {data.source}; agreement and distortion: lower is better"
        run.table("results", ["model", *columns], rows, caption)
        models = {name: self._model(run, name) for name in self.models}
        codes = {name: arrays[f"codes/{name}"] for name in self.models}
        if self.dim == 2:
            run.figure(
                "latent",
                latent_panels(models, codes, data.test_labels),
                "Codes of the test rows by label. Lines: geodesics of the chosen metric between class middles. Rings: "
                "small balls of the chosen metric (black) and of the metric that the decoder has (red), of one size; "
                "where they fall together the decoder keeps distances. Background: log of the decoder's magnification.",
            )
        if data.distances is not None:
            shown = {name: arrays[f"distances/{name}"] for name in self.models}
            run.figure(
                "distances",
                distance_panels(shown, data.distances[: self.points, : self.points]),
                "Latent against true distances of pairs of test rows, both over their means.",
            )
        if data.image is not None:
            draws = {name: arrays[f"draws/{name}"] for name in self.models}
            run.figure("draws", images(draws, data.image), "Means of the data at draws of the prior.")


@jax.jit
def _agreement(model: VAE, codes: Any) -> Any:
    return agreement(model.relative_metrics(codes))
