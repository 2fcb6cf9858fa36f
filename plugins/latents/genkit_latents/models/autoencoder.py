"""The recipe of an autoencoder whose latent metric is chosen."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import jax.numpy as jnp

from genkit.errors import UsageError
from genkit.kinds import Network, Optimizer
from genkit.model import Recipe
from genkit.train import AdamW
from genkit_latents.data import Points
from genkit_latents.geometry import InverseDensity, StandardNormal
from genkit_latents.geometry.manifolds import Manifold
from genkit_latents.models.rbf import fit_rbf
from genkit_latents.models.spaces import space
from genkit_latents.models.training import Setting, train, untrained
from genkit_latents.models.vae import VAE
from genkit_latents.networks import Coder

NAMED = {  # letter of the space, whether the decoder is drawn to its metric
    "plain": ("e", False), "euclidean": ("e", True), "hyperbolic": ("p", True), "spherical": ("s", True),
    "target": ("e", True), "poincare": ("p", False),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Autoencoder(Recipe):
    """A variational autoencoder on a manifold, whose decoder may be drawn to the metric of its latent space."""

    fixed: ClassVar[tuple[str, ...]] = (
        "latent", "dim", "curvature", "learn_curvature", "prior_std", "posterior", "most", "likelihood", "linear",
        "network", "steps",
    )  # fmt: skip

    latent: str = "e2"
    """The latent space: a letter and a dimension or a product, as `p2` or `h2,s2,e2` (e Euclidean, p Poincare ball, h
    hyperboloid, s sphere, d stereographic sphere, u either sign), drawn to its own metric; or a name, of `dim`
    dimensions: plain (flat, not drawn), euclidean, hyperbolic (the ball), spherical, target (flat, drawn to a metric
    that is large where the prior is thin), poincare (the ball, not drawn)."""
    dim: int = 2
    """Dimensions of a latent space that is given by name."""
    weight: float = 20.0
    """Of the penalty for a metric of the decoder that is not the chosen one, in nats; 0 draws it to none."""
    curvature: float = 0.3
    """|curvature| of what is not flat; the named sphere has radius 1."""
    learn_curvature: bool = False
    """Learn the curvatures."""
    prior_std: float = 1.0
    """Deviation of the prior where it is a (Riemannian) normal; on spheres it is uniform."""
    posterior: Literal["wrapped", "radial"] = "wrapped"
    """Wrapped normals; or isotropic Riemannian normals, on spheres von Mises-Fisher, as the named sphere has."""
    most: float = 4.0
    """Magnification of the target metric far from the prior, 1 at its mode."""
    likelihood: Literal["data", "normal", "gaussian", "bernoulli", "poisson", "negative_binomial"] = "data"
    """Family of the decoder; that of the data set if not another one."""
    linear: bool = False
    """Add the fixed line of probabilistic PCA to the decoder's mean: what it does far from the data (Arvanitidis et al.
    2021, arXiv 2008.00565); for Euclidean latent spaces and Gaussian likelihoods."""
    centres: int = 0
    """Radial basis functions of a deviation that is large away from the codes; 0 has none, and geodesics are those of
    the chosen metric."""
    width: float = 0.95
    """Their width over the mean distance to the centre; for round clusters 1.25 of the authors' code, which measures
    clusters by their deviation along an axis."""
    network: Network[Manifold, int, int] = field(default_factory=Coder)
    """Encoder and decoder."""
    optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=2e-3))
    """The optimiser."""
    steps: int = 2000
    """Training steps."""
    batch: int = 128
    """Rows in a step."""
    warmup: float = 0.33
    """Part of the training over which the weights of divergence and penalty rise."""

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        for name in ("steps", "batch", "dim"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} is too few; expected at least 1")
        if self.weight < 0 or self.centres < 0 or self.most <= 1 or min(self.width, self.prior_std) <= 0:
            raise UsageError("expected weight and centres of at least 0, width and prior_std above 0, most above 1")
        if not 0 < self.warmup <= 1:
            raise UsageError(f"warmup={self.warmup}; expected a part of the training, above 0 and at most 1")
        setting = self.setting
        space(setting.latent, setting.curvature)
        if setting.weight and self.batch < 2:
            raise UsageError("batch=1 leaves the penalty no pair of codes; take at least 2, or weight 0")

    @property
    def setting(self) -> Setting:
        """What the options mean."""
        common = Setting(
            self.latent, self.curvature, self.learn_curvature, self.posterior, self.prior_std, self.weight,
            linear=self.linear,
        )  # fmt: skip
        if self.latent not in NAMED:
            return common
        letter, drawn = NAMED[self.latent]
        named = replace(common, latent=f"{letter}{self.dim}", weight=self.weight * drawn)
        if letter != "p":
            named = replace(named, curvature=1.0, posterior="radial" if letter == "s" else "wrapped")
        if self.latent == "target":
            named = replace(named, metric=InverseDensity.between(StandardNormal(), 1.0, self.dim, 1.0, self.most))
        return named

    def fit(self, run: Any, data: Points, start: VAE | None = None) -> VAE:
        """Train the autoencoder, then fit the deviation. The phase has the name of the latent space, or `vae`."""
        likelihood = data.likelihood if self.likelihood == "data" else self.likelihood
        model = start or untrained(self.setting, self.network, data.train, likelihood)
        steps = self.steps if start is None else self.finetune
        name = self.latent if self.latent in NAMED else "vae"
        rule = self.optimizer.build(steps)
        model = train(run, name, model, self.setting, data.train, rule, steps, self.batch, self.warmup)
        if not self.centres:
            return replace(model, deviation=None)
        codes = model.encode(jnp.asarray(data.train))[0]
        found = fit_rbf(codes, data.train - model.decode(codes), centres=self.centres, width=self.width)
        return replace(model, deviation=found)
