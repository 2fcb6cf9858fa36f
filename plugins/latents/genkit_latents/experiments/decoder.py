"""What experiments on the geodesics of a decoder share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.experiment import Experiment, Run
from genkit.kinds import Dataset, Network, Optimizer
from genkit.train import AdamW
from genkit_latents.data import Points
from genkit_latents.datasets.shapes import Shape
from genkit_latents.geometry.geodesics import Energy, Graph, Hybrid, solve
from genkit_latents.geometry.paths import length, straight
from genkit_latents.geometry.pullback import Pullback
from genkit_latents.models import VAE, RBFDeviation, Setting, fit_rbf, train_phase
from genkit_latents.networks.coder import Coder


@dataclass(frozen=True)
class DecoderGeodesics(Experiment):
    """One autoencoder, metrics that its decoder pulls back, and curves under them; subclasses give `metrics`."""

    setting: ClassVar[Setting] = Setting("e2")
    warmup: ClassVar[float] = 0.33
    """Part of the training over which the weight of the divergence rises."""
    segments: ClassVar[int] = 32
    even: ClassVar[float] = 0.5
    """Excess of the longest over the shortest piece at which a geodesic counts."""

    data: Dataset = field(default_factory=Shape)
    """Points on a surface."""
    network: Network = field(default_factory=lambda: Coder(hidden=(32, 32), activation="tanh"))
    """Encoder and decoder."""
    optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=3e-3))
    """The optimiser."""
    steps: int = 6000
    """Training steps."""
    batch: int = 128
    """Rows in a step."""
    centres: int = 100
    """Radial basis functions of the deviation."""
    width: float = 0.95
    """Their width over the mean distance to the centre; for round clusters 1.25 of the authors' code, which measures
    clusters by their deviation along an axis."""

    def __post_init__(self) -> None:
        """Check the options."""
        for name in ("steps", "batch", "centres"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")

    def metrics(self, run: Run) -> dict[str, Pullback]:
        """The metrics by their names."""
        raise NotImplementedError

    def prepare(self, run: Run) -> None:
        """Make the data."""
        self.points_of(run)

    def points_of(self, run: Run) -> Points:
        """The data."""
        return run.once("data", self.data.load)

    def train(self, run: Run) -> None:
        """Train the autoencoder, then fit the deviation."""
        self.deviation(run)

    def model(self, run: Run) -> VAE:
        """The trained autoencoder, with averaged parameters."""

        def make() -> VAE:
            phase, model = train_phase(
                "vae",
                self.setting,
                self.network,  # type: ignore[arg-type]
                self.points_of(run).train,
                "gaussian",
                steps=self.steps,
                batch=self.batch,
                warmup=self.warmup,
                optimizer=self.optimizer,
            )
            return replace(model, params=run.fit(phase).averaged)

        return run.once("vae", make)

    def deviation(self, run: Run) -> RBFDeviation:
        """The deviation of the data about the decoder's mean, large away from the codes."""

        def make() -> RBFDeviation:
            model, data = self.model(run), self.points_of(run)
            codes = model.encode(jnp.asarray(data.train))[0]
            return fit_rbf(codes, data.train - model.decode(codes), centres=self.centres, width=self.width)

        return run.once("deviation", make)

    def draw(self, run: Run, key: Any, n: int) -> Any:
        """n draws (n, D)."""
        return self.model(run).sample(key, n)

    def curves(self, run: Run, p: Any, q: Any, codes: np.ndarray, corners: int) -> dict[str, np.ndarray]:
        """Straight lines between p and q (n, 2), and under each metric the geodesics; their lengths and flags.

        `codes` (m, 2) are kept as they are; `corners` of them make the graphs from which the solver starts.
        """
        line = jax.vmap(lambda p, q: straight(p, q, self.segments))(p, q)
        found: dict[str, np.ndarray] = {"codes": codes, "curves/straight": np.asarray(line)}
        for name, metric in self.metrics(run).items():
            graph = Graph.build(metric, codes[:: max(1, len(codes) // corners)], 8)
            best = solve(Hybrid(graph, Energy(self.segments, iterations=50, even=self.even)), metric, p, q, chunk=128)
            found |= {
                f"curves/{name}": np.asarray(best.curve),
                f"length/{name}": np.asarray(best.length),
                f"converged/{name}": np.asarray(best.converged),
                f"straight/{name}": np.asarray(jax.vmap(lambda c, m=metric: length(m, c))(line)),
            }
        return found


def mean_of(model: VAE) -> Any:
    """The decoder's mean z (d,) -> (D,), as a pytree."""
    return jax.tree_util.Partial(_mean, model)


def _mean(model: VAE, z: Any) -> Any:
    return model.family.mean(model.eta(z))


def shares(arrays: Mapping[str, np.ndarray], name: str) -> dict[str, float]:
    """Of the geodesics of a metric: shortening and longest, mean and largest length over the straight line's; share
    that converged."""
    ratio = arrays[f"length/{name}"] / arrays[f"straight/{name}"]
    return {
        f"shortening/{name}": float(ratio.mean()),
        f"longest/{name}": float(ratio.max()),
        f"converged/{name}": float(arrays[f"converged/{name}"].mean()),
    }
