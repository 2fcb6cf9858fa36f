"""The training of an autoencoder towards a chosen metric."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.kinds import Network
from genkit.nn import Net, shapes_of
from genkit.train import Phase, TrainState, make_step
from genkit_latents.geometry import Family, Gaussian, Normal, family
from genkit_latents.geometry.manifolds import Euclidean, Manifold
from genkit_latents.models.agreement import metric_penalty
from genkit_latents.models.spaces import space
from genkit_latents.models.vae import VAE, terms

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
    """Deviation of the prior; on the embedded sphere it is uniform."""
    weight: float = 0.0
    """Of the penalty for a metric of the decoder that is not the chosen one; in nats."""
    metric: Any = None
    """A metric in the coordinates of a Euclidean latent space, in place of its own."""
    linear: bool = False
    """Add the fixed line of probabilistic PCA to the decoder's mean: what it does far from the data (Arvanitidis et al.
    2021, arXiv 2008.00565); for Euclidean latent spaces and Gaussian likelihoods."""
    mixup: float = 0.2
    """The penalty also holds between and this far beyond pairs of codes, along geodesics."""


def untrained(setting: Setting, coder: Network[Manifold, int, int], x: np.ndarray, likelihood: str | Family) -> VAE:
    """A model for rows like x (n, D), without parameters of its network."""
    if setting.metric is not None and not setting.latent.startswith("e"):
        raise UsageError(f"a metric in coordinates needs a Euclidean latent space such as e2, not {setting.latent}")
    law = family(likelihood) if isinstance(likelihood, str) else likelihood
    where = space(setting.latent, setting.curvature)
    latent = where.manifold(where.start())
    net = Net(coder, (shapes_of(latent), x.shape[1], law.outputs(x.shape[1])))
    net.shapes()  # refuses what does not fit together
    line = None
    if setting.linear:
        if not isinstance(law, (Normal, Gaussian)) or not isinstance(latent, Euclidean):
            raise UsageError(f"linear=True is for Gaussian data and a flat latent space, not {setting.latent}")
        line = principal_line(x, latent.dim)
    params = {"net": None, "curvature": where.start()}
    return VAE(params, net, where, setting.posterior, law, setting.prior_std, setting.metric, line)


def fresh(model: VAE, key: Array) -> VAE:
    """The model with fresh parameters."""
    return replace(model, params={"net": model.net.init(key), "curvature": model.space.start()})


def train(
    run: Any, name: str, model: VAE, setting: Setting, x: np.ndarray, optimizer: Any, steps: int, batch: int,
    warmup: float = 0.33,
) -> VAE:  # fmt: skip
    """Train on rows x (n, D), from the parameters of the model where it has them; the model has averaged ones.

    The loss is -E log p(x | z) + beta (log q - log p) + weight * penalty; beta and the weight rise linearly over the
    first part `warmup` of the training. The penalty is taken at codes and between codes.
    """
    rows = jnp.asarray(x)

    def loss(params: Any, count: Array, _: None, key: Array) -> Any:
        draw, noise, mix = jax.random.split(key, 3)
        now = replace(model, params=params if setting.learn_curvature else _frozen(params))
        chosen = jax.random.randint(draw, (batch,), 0, rows.shape[0])
        fit, ratio, z = terms(now, noise, rows[chosen], 1)
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
        begin = model if model.params["net"] is not None else fresh(model, key)
        return TrainState.create(begin.params, optimizer, aux=jnp.zeros(()))

    step = make_step(loss, optimizer, ema_half_life=steps / 50, clip=20.0)
    return replace(model, params=run.fit(Phase(name, init, step, data=None, steps=steps)).averaged)


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
