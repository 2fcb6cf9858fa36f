"""Introspective autoencoders: an encoder and a decoder that play against one another, and a prior as third player."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.model import CSV, NPZ, Piece, Request, Trained
from genkit.nn import Net
from genkit.tree import register_dataclass
from genkit_latents.data import Points
from genkit_latents.distributions import Mixture, assignment, divergence

Array = jax.Array
stop = jax.lax.stop_gradient


@dataclass(frozen=True)
class DrawIntro(Request):
    """Draw data with their latent points."""

    formats: ClassVar[dict[str, str]] = {".npz": NPZ, ".csv": CSV}

    def __call__(self, model: Any, key: jax.Array, n: int, chunk: int = 256) -> Iterator[Piece]:
        """Pieces `samples` (n, D) and `latents` (n, d)."""
        z = model.prior.sample(key, n)
        for i in range(0, n, chunk):
            part = z[i : i + chunk]
            yield {"samples": np.asarray(model.decode(part)), "latents": np.asarray(part)}


@register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class IntroVAE(Trained):
    """Encoder x -> (mean, log variance), deterministic decoder, and prior."""

    request: ClassVar[type[Request]] = DrawIntro

    params: Any
    """{"encoder", "decoder"}"""
    encoder: Net = field(metadata={"static": True})
    decoder: Net = field(metadata={"static": True})
    prior: Mixture

    def check(self, data: Points) -> None:
        """Refuse rows of another width."""
        if data.train.shape[1] != self.encoder.sizes[0]:
            raise UsageError(f"{self!r} is a model of rows of {self.encoder.sizes[0]}, not {data.train.shape[1]}")

    @jax.jit
    def encode(self, x: Array) -> tuple[Array, Array]:
        """Means and log variances (n, d) of the posterior of rows x (n, D)."""
        mean, log_var = jnp.split(self.encoder(self.params["encoder"], x), 2, -1)
        return mean, log_var

    @jax.jit
    def decode(self, z: Array) -> Array:
        """Rows (n, D) of points z (n, d)."""
        return self.decoder(self.params["decoder"], z)

    @jax.jit
    def posterior(self, key: Array, x: Array) -> Array:
        """A draw of the posterior (n, d) of each row x (n, D)."""
        mean, log_var = self.encode(x)
        return mean + jnp.exp(log_var / 2) * jax.random.normal(key, mean.shape)

    def elbo(self, key: Array, x: Array, samples: int = 100) -> Array:
        """-(|x - D(z)|^2 + KL) (n,) of rows x, z a draw of the posterior: the bound that the game has, up to a constant
        (a Gaussian of variance 1/2 about the decoder)."""
        one, two = jax.random.split(key)
        mean, log_var = self.encode(x)
        z = mean + jnp.exp(log_var / 2) * jax.random.normal(one, mean.shape)
        kl = divergence(mean, log_var, self.prior, jax.random.normal(two, (samples, *mean.shape)))
        return -squared(x, self.decode(z)) - kl


class Weights(NamedTuple):
    """Of the terms of the losses (Athanasiadis et al. 2025, arXiv 2408.13805; Daniel and Tamar 2021, 2012.13253)."""

    rec: float
    """of |x - D(z)|^2"""
    kl: float
    """of the divergence of real rows, and in the decoder's loss of its own ones"""
    neg: float
    """of the divergence of what the decoder made, in the encoder's loss"""
    scale: float
    """s, one over the numbers of a row"""
    entropy: float = 0.0
    """of even responsibilities"""
    alpha: float = 2.0
    gamma: float = 1.0
    gamma_rec: float = 1e-8


class Noise(NamedTuple):
    """Standard normals of one player's step; n rows, d latent dimensions, S draws for a divergence."""

    k: Array
    """(n,) components of the draws of the prior"""
    prior: Array
    """(n, d)"""
    codes: Array
    """(3, n, d) of the codes of real rows, of fakes and of reconstructions"""
    kl: Array
    """(3, S, n, d) of their divergences"""


def noise(key: Array, prior: Mixture, n: int, samples: int) -> Noise:
    """Fresh noise for n rows; components are plain draws, through which no weight gets a gradient."""
    keys, d = jax.random.split(key, 4), prior.means.shape[1]
    k = jax.random.categorical(keys[0], stop(prior.logits), shape=(n,))
    shapes = (n, d), (3, n, d), (3, samples, n, d)
    return Noise(k, *(jax.random.normal(a, s, prior.means.dtype) for a, s in zip(keys[1:], shapes, strict=True)))


def squared(x: Array, y: Array) -> Array:
    """|x - y|^2 (n,), a sum over all numbers of a row."""
    return jnp.square(x - y).sum(-1)


def vae_loss(net: Any, prior: Mixture, x: Array, e: Noise, w: Weights, reference: bool = False) -> Any:
    """beta_rec |x - D(z)|^2 + beta_kl KL, for all players: the warm-up."""
    mean, log_var = net.encode(x)
    rec = squared(x, net.decode(mean + jnp.exp(log_var / 2) * e.codes[0])).mean()
    kl = divergence(mean, log_var, prior, e.kl[0], reference).mean()
    return w.rec * rec + w.kl * kl, {"rec": rec, "kl/real": kl}


def encoder_loss(net: Any, prior: Mixture, x: Array, e: Noise, w: Weights, reference: bool = False) -> Any:
    """L_E: the bound of real rows is raised, that of what the decoder makes is lowered, while it is not yet low.

    s (beta_rec l(x, r) + beta_kl KL(x)) + 1 / (2 alpha) sum over fakes f and reconstructions r of
    mean exp(-alpha s (beta_rec l + beta_neg KL)) + s r_ent N. To be differentiated in the encoder (and in the prior
    where it cooperates with it); the decoder made f and r, which come in as data.
    """
    fake = stop(net.decode(prior.at(e.k, e.prior)))
    mean, log_var = net.encode(x)
    z = mean + jnp.exp(log_var / 2) * e.codes[0]
    own = net.decode(z)
    kl = divergence(mean, log_var, prior, e.kl[0], reference)
    rec = squared(x, own).mean()
    value = w.scale * (w.rec * rec + w.kl * kl.mean())
    metrics = {"rec": rec, "kl/real": kl.mean()}
    for i, (name, made) in enumerate((("fake", fake), ("own", stop(own))), 1):
        m, lv = net.encode(made)
        again = squared(made, net.decode(m + jnp.exp(lv / 2) * e.codes[i]))
        far = divergence(m, lv, prior, e.kl[i], reference)
        pull = jnp.exp(-w.alpha * w.scale * (w.rec * again + w.neg * far)).mean()
        value = value + pull / (2 * w.alpha)
        metrics |= {f"kl/{name}": far.mean(), f"pull/{name}": pull}
    if w.entropy:
        parts = prior.responsibilities(mean + jnp.exp(log_var / 2) * e.kl[0])
        value = value + w.scale * w.entropy * assignment(parts)
    return value, metrics


def decoder_loss(net: Any, prior: Mixture, x: Array, e: Noise, w: Weights, reference: bool = False) -> Any:
    """L_D: the decoder makes what the encoder takes for real, and the prior follows the codes of real rows.

    s [beta_rec l(x, r) + beta_kl KL(x) + gamma beta_kl (KL(r) + KL(f)) / 2 + gamma gamma_r beta_rec (l(r) + l(f)) / 2].
    The prior learns through its draws f and through KL(x); for KL(r) and KL(f) it is a fixed target. To be
    differentiated in decoder and prior, through the encoder.
    """
    fixed = stop(prior)
    mean, log_var = (stop(a) for a in net.encode(x))
    own = net.decode(stop(mean + jnp.exp(log_var / 2) * e.codes[0]))
    fake = net.decode(prior.at(e.k, e.prior))
    rec = squared(x, own).mean()
    kl = divergence(mean, log_var, prior, e.kl[0], reference).mean()
    value = w.rec * rec + w.kl * kl
    for i, made in enumerate((fake, own), 1):
        m, lv = net.encode(made)
        z = stop(m + jnp.exp(lv / 2) * e.codes[i])
        again = squared(stop(made), net.decode(z)).mean()
        far = divergence(m, lv, fixed, e.kl[i], reference).mean()
        value = value + 0.5 * w.gamma * (w.kl * far + w.gamma_rec * w.rec * again)
    return w.scale * value, {"decoder/rec": rec}
