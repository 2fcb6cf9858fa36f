"""Variational autoencoders on a manifold, trained towards a chosen metric."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from genkit.errors import UsageError
from genkit.kinds import Optimizer
from genkit.nn import Apply, functional
from genkit.train import AdamW, Phase, TrainState, make_step
from genkit.tree import register_dataclass
from genkit_latents.distributions import RiemannianNormal, Uniform, VonMisesFisher, WrappedNormal
from genkit_latents.geometry.likelihoods import Family, Gaussian, Normal, family
from genkit_latents.geometry.manifolds import Euclidean, Product, Sphere
from genkit_latents.geometry.numeric import Numeric
from genkit_latents.models.agreement import metric_penalty, relative_metric
from genkit_latents.models.spaces import Space, space
from genkit_latents.networks.coder import Coder

Array = jax.Array


@dataclass(frozen=True)
class Setting:
    """A latent space, its metric, and how strongly the decoder is drawn to it."""

    latent: str = "e2"
    """The latent space, as `p2` or `h2,s2,e2` (see `genkit_latents.models.space`)."""
    curvature: float = 1.0
    """|curvature| of what is not flat."""
    learn_curvature: bool = False
    """Learn the curvatures."""
    posterior: Literal["wrapped", "radial"] = "wrapped"
    """Wrapped normals; or isotropic Riemannian normals, on spheres von Mises-Fisher."""
    prior_std: float = 1.0
    """Deviation of the prior; on spheres it is uniform."""
    weight: float = 0.0
    """Of the penalty for a metric of the decoder that is not the chosen one; in nats."""
    metric: Any = None
    """A metric in the coordinates of a Euclidean latent space, in place of its own."""
    linear: bool = False
    """Add the fixed line of probabilistic PCA to the decoder's mean: what it does far from the data (Arvanitidis et al.
    2021, arXiv 2008.00565); for Euclidean latent spaces and Gaussian likelihoods."""
    mixup: float = 0.2
    """The penalty also holds between and this far beyond pairs of codes, along geodesics."""


@register_dataclass
@dataclass(frozen=True)
class VAE:
    """A model: parameters with everything that gives them a meaning; a pytree."""

    params: Any
    """{"net": of the network, "curvature": (parts,)}"""
    apply: Apply = field(metadata={"static": True})
    space: Space = field(metadata={"static": True})
    posterior: str = field(metadata={"static": True})
    family: Any
    prior_std: Array | float
    metric: Any = None
    line: Any = None
    """(matrix (D, d), offset (D,)) added to the mean of the decoder, or None"""

    @property
    def latent(self) -> Any:
        """The manifold of codes, posterior and prior."""
        return self.space.manifold(self.params["curvature"])

    @property
    def chosen(self) -> Any:
        """The manifold whose metric is the chosen one: `latent`, or that of `metric`."""
        return self.latent if self.metric is None else Numeric(self.metric, self.latent.dim)

    def encode(self, x: Array) -> tuple[Array, Array]:
        """Means (n, *shape) and deviations (n, dim) of the posterior of rows x (n, D)."""
        return self.apply(self.params["net"], "encode", self.latent, x)

    def eta(self, z: Array) -> Array:
        """Parameters of the likelihood at a point z (*shape)."""
        raw = self.apply(self.params["net"], "decode", self.latent, z)
        if self.line is not None:
            matrix, offset = self.line
            raw = raw.at[: len(offset)].add(matrix @ z + offset)  # the means come first
        return self.family.parameters(raw)

    def decode(self, z: Array) -> Array:
        """Means (n, D) of the data at points z (n, *shape)."""
        return jax.vmap(lambda z: self.family.mean(self.eta(z)))(z)

    def sample(self, key: Array, n: int) -> Array:
        """n draws (n, D), the mean of the data at draws of the prior."""
        return self.decode(prior_sample(self.latent, self.prior_std, key, n))

    def relative_metrics(self, z: Array) -> Array:
        """`relative_metric` at points z (n, *shape), (n, dim, dim)."""
        chosen = self.chosen
        return jax.vmap(lambda z: relative_metric(self.family, self.eta, chosen.frame(z), z))(z)


def prior_log_prob(manifold: Any, std: Any, z: Array) -> Array:
    """Of a point z, with respect to the volume: uniform on spheres, else (Riemannian) normal about the origin."""
    if isinstance(manifold, Product):
        return sum(
            (prior_log_prob(f, std, p) for f, p in zip(manifold.factors, manifold.split(z), strict=True)),
            start=jnp.zeros(()),
        )
    if isinstance(manifold, Sphere):
        return Uniform(manifold).log_prob(z)
    if isinstance(manifold, Euclidean):
        return WrappedNormal(manifold, jnp.zeros_like(z), jnp.asarray(std, z.dtype)).log_prob(z)
    return RiemannianNormal(manifold, manifold.origin.astype(z.dtype), std).log_prob(z)


def prior_sample(manifold: Any, std: Any, key: Array, n: int) -> Array:
    """n points (n, *shape) of that prior."""
    if isinstance(manifold, Product):
        keys = jax.random.split(key, len(manifold.factors))
        return manifold.join([prior_sample(f, std, k, n) for f, k in zip(manifold.factors, keys, strict=True)])
    if isinstance(manifold, Sphere):
        return manifold.random_uniform(key, n)
    if isinstance(manifold, Euclidean):
        return std * jax.random.normal(key, (n, manifold.dim))
    return RiemannianNormal(manifold, manifold.origin, std).sample(key, n)


def posterior_of(manifold: Any, kind: str, mean: Array, std: Array) -> Any:
    """The posterior around a point: `wrapped`, or `radial` with the mean of the deviations.

    That of a hyperbolic Riemannian normal is kept below 1.25 / sqrt(-curvature). Its radius grows with the square of
    the deviation: a wider one lies beyond the border that floats keep from that of the ball, and there the bound on the
    likelihood would have no limit.
    """
    if kind == "wrapped":
        return WrappedNormal(manifold, mean, std)
    if isinstance(manifold, Product):
        raise UsageError("a radial posterior is for one space, not for a product; use posterior wrapped")
    if isinstance(manifold, Sphere):
        return VonMisesFisher(manifold, mean, jnp.square(manifold.radius / std.mean()))
    if isinstance(manifold, Euclidean):
        return WrappedNormal(manifold, mean, jnp.broadcast_to(std.mean(), std.shape))
    bend = jnp.maximum(-jnp.asarray(manifold.kappa, std.dtype), 1e-6)
    return RiemannianNormal(manifold, mean, jnp.minimum(std.mean(), 1.25 / jnp.sqrt(bend)))


def make_vae(setting: Setting, coder: Coder, inputs: int, likelihood: str | Family, key: Array) -> VAE:
    """A model with fresh parameters for rows of `inputs` numbers."""
    if setting.metric is not None and not setting.latent.startswith("e"):
        raise UsageError(f"a metric in coordinates needs a Euclidean latent space such as e2, not {setting.latent}")
    law = family(likelihood) if isinstance(likelihood, str) else likelihood
    where = space(setting.latent, setting.curvature)
    numbers = where.start()
    module = coder.build(nnx.Rngs(key), where.manifold(numbers), inputs, law.outputs(inputs))
    apply, net = functional(module)
    params = {"net": net, "curvature": numbers}
    return VAE(params, apply, where, setting.posterior, law, setting.prior_std, setting.metric)


def _terms(model: VAE, key: Array, x: Array, samples: int) -> tuple[Array, Array, Array]:
    """log p(x | z), log p(z) - log q(z | x), both (samples, n), and the points z (samples, n, *shape)."""
    manifold = model.latent
    mean, std = model.encode(x)

    def one(key: Array, x: Array, mean: Array, std: Array) -> tuple[Array, Array, Array]:
        q = posterior_of(manifold, model.posterior, mean, std)
        z = q.sample(key, samples)

        def log_ratio(z: Array) -> Array:
            return prior_log_prob(manifold, model.prior_std, z) - q.log_prob(z)

        fit = jax.vmap(lambda z: model.family.log_prob(model.eta(z), x))(z)
        return fit, jax.vmap(log_ratio)(z), z

    return jax.vmap(one, out_axes=1)(jax.random.split(key, x.shape[0]), x, mean, std)


def elbo(model: VAE, key: Array, x: Array, samples: int = 1) -> tuple[Array, Array]:
    """Evidence lower bound (n,) of rows x, in nats, and its part E log p(x | z)."""
    fit, ratio, _ = _terms(model, key, x, samples)
    return (fit + ratio).mean(0), fit.mean(0)


def importance_bound(model: VAE, key: Array, x: Array, samples: int = 100) -> Array:
    """The importance-weighted bound (n,) on log p(x) (Burda et al. 2016), in nats."""
    fit, ratio, _ = _terms(model, key, x, samples)
    return jax.nn.logsumexp(fit + ratio, 0) - jnp.log(samples)


def train_phase(
    name: str,
    setting: Setting,
    coder: Coder,
    x: np.ndarray,
    likelihood: str | Family,
    *,
    steps: int,
    batch: int = 128,
    warmup: float = 0.33,
    optimizer: Optimizer | None = None,
) -> tuple[Phase, VAE]:
    """The training of a model on rows x (n, D), and the model to put its parameters into.

    The loss is -E log p(x | z) + beta (log q - log p) + weight * penalty; beta and the weight rise linearly over the
    first part `warmup` of the training. The penalty is taken at codes and between codes.
    """
    rows = jnp.asarray(x)
    model = make_vae(setting, coder, x.shape[1], likelihood, jax.random.key(0))
    if setting.linear:
        if not isinstance(model.family, (Normal, Gaussian)) or not isinstance(model.latent, Euclidean):
            raise UsageError(f"linear=True is for Gaussian data and a flat latent space, not {setting.latent}")
        model = replace(model, line=principal_line(x, model.latent.dim))
    rule: Any = (optimizer or AdamW(lr=2e-3)).build(steps)

    def loss(params: Any, count: Array, _: None, key: Array) -> Any:
        draw, noise, mix = jax.random.split(key, 3)
        now = replace(model, params=params if setting.learn_curvature else _frozen(params))
        chosen = jax.random.randint(draw, (batch,), 0, rows.shape[0])
        fit, ratio, z = _terms(now, noise, rows[chosen], 1)
        rise = jnp.minimum(1, count / (warmup * steps))
        value = -(fit + rise * ratio).mean()
        metrics = {"elbo": (fit + ratio).mean()}
        if setting.weight:
            a = now.relative_metrics(_mixed(now, mix, z[0], setting.mixup))
            penalty = metric_penalty(a)
            metrics["penalty"] = penalty
            value = value + rise * setting.weight * penalty
        return value, (count + 1, metrics)

    def init(key: Array) -> TrainState:
        params = make_vae(setting, coder, x.shape[1], likelihood, key).params
        return TrainState.create(params, rule, aux=jnp.zeros(()))

    step = make_step(loss, rule, ema_half_life=steps / 50, clip=20.0)
    return Phase(name, init, step, data=None, steps=steps), model


def principal_line(x: np.ndarray, d: int) -> tuple[Array, Array]:
    """Matrix (D, d) and offset (D,) of z -> V_d sqrt(L_d) z + mean of rows x (n, D), for standard normal z."""
    centred = x - x.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(x))
    matrix = vectors[:, ::-1][:, :d] * np.sqrt(np.maximum(values[::-1][:d], 0))
    return jnp.asarray(matrix, jnp.float32), jnp.asarray(x.mean(0), jnp.float32)


def _frozen(params: Any) -> Any:
    return params | {"curvature": jax.lax.stop_gradient(params["curvature"])}


def _mixed(model: VAE, key: Array, z: Array, eta: float) -> Array:
    """Half of the points as they are, half on geodesics between pairs and a little beyond."""
    n = z.shape[0] // 2
    t = jax.random.uniform(key, (n,), minval=-eta, maxval=1 + eta)
    manifold = model.latent
    between = jax.vmap(manifold.geodesic)(z[:n], z[n : 2 * n], t)
    return jax.lax.stop_gradient(jnp.concatenate([z[:n], between]))
