"""A forecaster of one network pass, with a latent vector, and the CRPS of rollouts (CRPS-LAM, arXiv 2510.09484)."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from scipy.fft import dct

from genkit import metrics
from genkit.chain import particle_keys
from genkit.tree import register_dataclass
from genkit_weather.area import interior_of
from genkit_weather.lam.domain import Domain, Inputs, advance, condition
from genkit_weather.lam.unroll import unroll
from genkit_weather.lam.windows import Window


@register_dataclass
@dataclass(frozen=True)
class Generator:
    """The next state as a function of what is known and of z ~ N(0, I): one draw of z is one member's step.

    The network is told z in place of a noisy target and its level; its output is the residual of the first guess.
    """

    network: Any = field(metadata={"static": True})
    params: Any
    domain: Domain
    latent: int = field(metadata={"static": True})

    def predict(self, inputs: Inputs, z: jax.Array, key: Any = None) -> jax.Array:
        """The next interior states (n, h, w, V), standardised, for z (n, Z); `key` switches dropout on."""
        cond = replace(condition(self.domain, inputs), latent=z, key=key)
        return advance(self.domain, inputs, self.network(self.params, None, None, cond))

    def step(self, key: jax.Array, inputs: Inputs, slots: jax.Array) -> jax.Array:
        """Draw z of each particle from its own key."""
        keys = particle_keys(key, slots)
        return self.predict(inputs, jax.vmap(lambda key: jax.random.normal(key, (self.latent,)))(keys))


@dataclass(frozen=True)
class Score:
    """What a CRPS loss scores."""

    members: int = 2
    """members of the ensemble"""
    units: Literal["standard", "data"] = "standard"
    """errors in units of the std of the first guess' error, or in those of the data, as the authors' code has it"""
    spectral: float = 0.0
    """weight of the CRPS of the cosine coefficients of the fields; 0.1 as in FourCastNet 3 (arXiv 2507.12144)"""


def fair_crps(members: jax.Array, truth: jax.Array) -> jax.Array:
    """CRPS (...,) of members (M, ...): E|x - y| - E|x - x'| / 2, without bias for any number of members from two on."""
    return metrics.crps(members, truth, reduce=())


def crps_rollout(
    step: Callable[..., jax.Array], window: Window, members: int, *per_step: Any, written_out: bool = False
) -> jax.Array:
    """(T, M, n, h, w, V) states of M members, each fed with its own; `step(inputs, *u) -> states (M n, h, w, V)`."""

    def body(inputs: Inputs, *u: Any) -> tuple[jax.Array, jax.Array]:
        x = step(inputs, *u)
        return x, x

    many = jax.tree.map(lambda leaf: jnp.concatenate([leaf] * members), window.given)
    out = unroll(body, many, *per_step, written_out=written_out)
    return out.reshape(len(out), members, -1, *out.shape[2:])


def crps_loss(
    key: jax.Array,
    model: Generator,
    window: Window,
    how: Score,
    weight: Any,
    cells: Any = None,
    dropout: bool = True,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Fair CRPS of the members of a rollout, mean over windows, steps, cells and variables; (loss, its terms).

    Args:
        key: of the latent vectors and dropout; a fresh vector in every step and member.
        model: with any parameters.
        window: starts and outcome.
        how: what is scored.
        weight: (V,) of the variables.
        cells: (h, w, 1) weights of mean 1, None for equal ones.
        dropout: False for validation.
    """
    domain, truth = model.domain, jnp.moveaxis(window.truth, 1, 0)
    steps, n = truth.shape[:2]
    unit = 1 / domain.residual_std if how.units == "standard" else domain.std

    def step(inputs: Inputs, key: jax.Array) -> jax.Array:
        k_latent, k_dropout = jax.random.split(key)
        z = jax.random.normal(k_latent, (how.members * n, model.latent))
        return model.predict(inputs, z, k_dropout if dropout else None)

    x = crps_rollout(step, window, how.members, jax.random.split(key, steps), written_out=True)
    x, y = jnp.moveaxis(x, 1, 0) * unit, truth * unit
    score = fair_crps(x, y) * weight
    loss = (score if cells is None else score * cells).mean()
    terms = {"crps": loss}
    if how.spectral:
        if domain.mask is not None:
            inside = interior_of(domain.mask, domain.frame_width)
            x, y = x * inside, y * inside
        terms["spectral"] = (fair_crps(cosines(x), cosines(y)) * weight).mean()
        loss = loss + how.spectral * terms["spectral"]
    return loss, terms


def cosines(field: jax.Array) -> jax.Array:
    """Coefficients of the orthonormal cosine transform of fields (..., h, w, V)."""
    rows, columns = (np.asarray(dct(np.eye(size), norm="ortho", axis=0), np.float32) for size in field.shape[-3:-1])
    return jnp.einsum("ky,...yxv,lx->...klv", rows, field, columns, precision="highest")
