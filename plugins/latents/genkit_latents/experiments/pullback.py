"""Latent Space Oddity: geodesics of a decoder that knows where it knows nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.experiment import Run
from genkit.files import read_arrays, write_arrays
from genkit.kinds import Model, check_preset
from genkit.train import AdamW
from genkit_latents.data import Points
from genkit_latents.datasets import Shape
from genkit_latents.experiments.curves import check, curves, shares
from genkit_latents.experiments.study import LatentStudy
from genkit_latents.geometry import Pullback, log_volume, stochastic
from genkit_latents.geometry.geodesics import Energy
from genkit_latents.models import VAE, Autoencoder
from genkit_latents.networks import Coder

SOLVER = Energy(32, iterations=50, even=0.5)


def _recipe(**options: Any) -> Autoencoder:
    """Nothing draws the decoder to a metric: its own is measured."""
    own: dict[str, Any] = {
        "weight": 0.0, "curvature": 1.0, "centres": 100, "steps": 6000, "optimizer": AdamW(lr=3e-3),
        "network": Coder(hidden=(32, 32), activation="tanh"),
    }  # fmt: skip
    return Autoencoder(**own | options)


@dataclass(frozen=True)
class PullbackGeodesics(LatentStudy):
    """Geodesics that follow the data, against straight lines (Arvanitidis et al. 2018, arXiv 1710.11379).

    The data are a surface with a hole. A decoder's mean is smooth across the hole, and so is the metric that it
    pulls back (`mean`); a standard deviation of radial basis functions, large away from the codes, makes the hole far
    (`rbf`): geodesics then go around it.
    """

    headline = "in_hole/rbf"

    model: Model[Points, VAE] = field(default_factory=_recipe)
    """What is trained, or the folder of what was; with a deviation (`centres`)."""
    pairs: int = 32
    """Pairs of points on opposite sides of the hole."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes), and paper (500 epochs)."""
        if name == "tiny":
            return cls(model=_recipe(steps=40, centres=8), pairs=4, data=Shape(points=200))
        check_preset(name)
        return cls() if name == "default" else cls(model=_recipe(steps=8000, optimizer=AdamW(1e-3, weight_decay=1e-7)))

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if self.pairs < 1:
            raise UsageError(f"pairs={self.pairs}; expected at least 1")
        check(self.model)
        if isinstance(self.data, Shape) and self.data.kind != "hole":
            raise UsageError(f"data.kind={self.data.kind} has no hole to go around; use hole")

    def metrics(self, model: VAE) -> dict[str, Pullback]:
        """The metric of the mean, and that of mean and deviation."""
        mean: Any = model.mean_map
        return {"mean": Pullback(mean), "rbf": stochastic(mean, model.deviation)}  # type: ignore[arg-type]

    def sample(self, run: Run) -> None:
        """Curves between points on opposite sides of the hole."""
        data, model = self.loaded(run), self.trained(run)
        codes = np.asarray(model.encode(jnp.asarray(data.train))[0])
        p, q = (jnp.asarray(codes[rows]) for rows in opposite(data.train, self.pairs))
        write_arrays(run.folder / "curves.npz", curves(self.metrics(model), p, q, codes, 300, SOLVER))

    def evaluate(self, run: Run) -> dict[str, float | None]:
        """Curves across the hole, for the straight line and the metrics `mean` and `rbf`.

        in_hole/<curve>: share of its points that decode to less than 0.15 from the middle of the hole, of radius 0.2;
        gap/<curve>: mean over curves of the largest distance to the nearest code, over that of the straight lines;
        shortening/<metric>: length of geodesics over that of straight lines; longest/<metric>: the same at its
        largest; converged/<metric>: share; magnification/<metric>: sqrt det G where the hole's middle is encoded, over
        the median at codes.
        """
        model, arrays = self.trained(run), read_arrays(run.folder / "curves.npz")
        codes = arrays["codes"]
        middle = model.encode(jnp.zeros((1, 3)))[0][0]
        results: dict[str, float | None] = {}
        gaps = {}
        for name in ("straight", *self.metrics(model)):
            curve = arrays[f"curves/{name}"]
            x = np.asarray(model.decode(jnp.asarray(curve.reshape(-1, 2))))
            results[f"in_hole/{name}"] = float((np.linalg.norm(x[:, :2], axis=1) < 0.15).mean())
            nearest = np.linalg.norm(curve[:, :, None] - codes, axis=-1).min(-1)
            gaps[name] = nearest.max(1).mean()
            results[f"gap/{name}"] = float(gaps[name] / gaps["straight"])
        for name, metric in self.metrics(model).items():
            results |= shares(arrays, name)
            volume = jax.jit(jax.vmap(lambda z, m=metric: log_volume(m, z)))
            at = np.asarray(volume(jnp.concatenate([middle[None], jnp.asarray(codes)])))
            results[f"magnification/{name}"] = float(np.exp(at[0] - np.median(at[1:])))
        return results

    def report(self, run: Run) -> None:
        """A table; the latent space with curves under both metrics, and the curves on the data."""
        from genkit_latents.figures import curve_panels

        arrays, model = read_arrays(run.folder / "curves.npz"), self.trained(run)
        metrics = self.metrics(model)
        keys = ("in_hole", "gap", "shortening", "converged", "magnification")
        rows = [[name, *(run.results.get(f"{key}/{name}") for key in keys)] for name in ("straight", *metrics)]
        caption = "Curves between opposite sides of the hole; gap: largest distance to a code, over the straight line's"
        header = ["curve", "share in the hole", "gap", "length", "converged", "magnification"]
        run.table("curves", header, rows, caption, {"share in the hole": "low", "gap": "low"})
        run.figure(
            "latent",
            curve_panels(metrics, model, arrays, self.loaded(run).train),
            "Log magnification of both metrics with codes, geodesics (red) and straight lines (black, dashed); right: "
            "the curves of the metric rbf, decoded, among the data.",
        )


def opposite(x: np.ndarray, pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of x (n, 3) near the circle of radius 0.35 about the hole: at angles around it, and half a turn on."""
    angle = np.pi * np.arange(pairs) / pairs
    wanted = 0.35 * np.stack([np.cos(angle), np.sin(angle)], 1)
    near = lambda y: np.linalg.norm(x[None, :, :2] - y[:, None], axis=-1).argmin(1)  # noqa: E731
    return near(wanted), near(-wanted)
