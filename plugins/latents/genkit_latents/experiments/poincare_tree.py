"""A tree in the plane: hyperbolic against Euclidean codes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Self

from genkit.errors import UsageError
from genkit.kinds import Dataset, Network, Optimizer
from genkit.train import AdamW
from genkit_latents.datasets.tree import Tree
from genkit_latents.experiments.explicit_metric import ExplicitMetric
from genkit_latents.networks.coder import Coder


@dataclass(frozen=True)
class PoincareTree(ExplicitMetric):
    """Embed noisy data of a tree in two dimensions and compare latent with tree distances.

    The recipe of Mathieu et al. 2019 (arXiv 1901.06033), section 5.1: a Poincare ball of curvature -1.2 with Riemannian
    normals as prior (deviation 1.7) and posteriors, a Gaussian likelihood of unit variance, one hidden layer of 200.
    The flat autoencoder has the same prior deviation. With `hyperbolic` and `euclidean` the decoder is drawn to the
    metric.
    """

    data: Dataset = field(default_factory=Tree)
    """Rows with labels and distances."""
    models: tuple[str, ...] = ("plain", "poincare", "euclidean", "hyperbolic")
    """What is compared: of plain, euclidean, hyperbolic, spherical, target, poincare."""
    weight: float = 5.0
    """Of the penalty, in nats."""
    curvature: float = 1.2
    """|curvature| of the Poincare ball; the sphere has radius 1."""
    prior_std: float = 1.7
    """Deviation of the prior where it is a (Riemannian) normal."""
    posterior: Literal["wrapped", "radial"] = "radial"
    """Posterior of the Poincare ball: wrapped normals, or isotropic Riemannian normals."""
    network: Network = field(default_factory=lambda: Coder(hidden=(200,)))
    """Encoder and decoder."""
    optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=1e-3, schedule="constant"))
    """The optimiser."""
    steps: int = 3000
    """Training steps of each model."""
    batch: int = 64
    """Rows in a step."""

    @classmethod
    def preset(cls, name: str) -> Self:
        """Presets tiny (CI), default (minutes), and paper (1000 epochs, 5000 draws)."""
        presets: dict[str, dict[str, Any]] = {
            "tiny": {"steps": 40, "samples": 4, "points": 20, "network": Coder(hidden=(16,)), "data": Tree(depth=4)},
            "default": {},
            "paper": {"steps": 7000, "samples": 5000},
        }
        if name not in presets:
            raise UsageError(f"no preset {name!r}; there are {', '.join(presets)}")
        return cls(**presets[name])
