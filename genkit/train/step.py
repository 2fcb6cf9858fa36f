"""The usual training step: gradients, accumulation, clipping, update, moving average."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from genkit.tree import register_dataclass

Loss = Callable[[Any, Any, Any, jax.Array], tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]]
"""(params, aux, batch, key) -> (loss, (aux, metrics)); aux holds what is not trained, as batch statistics."""


@register_dataclass
@dataclass(frozen=True)
class TrainState:
    """What a training carries; every field is a pytree of arrays.

    `step` () int32 counts updates; `ema` is the float32 moving average of `params`, None without averaging.
    """

    step: Any
    params: Any
    aux: Any
    opt_state: Any
    ema: Any = None

    @classmethod
    def create(
        cls, params: Any, optimizer: optax.GradientTransformation, aux: Any = None, ema: bool = True
    ) -> TrainState:
        """The state before the first step."""
        average = jax.tree.map(lambda p: jnp.array(p, jnp.float32), params) if ema else None
        return cls(jnp.int32(0), params, aux, optimizer.init(params), average)

    @property
    def averaged(self) -> Any:
        """The averaged parameters where there are any, else the parameters."""
        return self.params if self.ema is None else self.ema


def ema_decay(step: Any, half_life: float, ramp: float | None = 0.05) -> jax.Array:
    """Weight of the old average at update `step` (from 1): 2^(-1/h) with a half-life of h steps.

    With `ramp`, h = min(half_life, ramp * step), so that an average of a short training does not hang on the
    initial parameters (Karras et al. 2022, arXiv:2206.00364, their code's `ema_rampup_ratio`). A half-life
    in samples is one in steps after division by the batch size.
    """
    h = jnp.float32(half_life) if ramp is None else jnp.minimum(half_life, ramp * jnp.float32(step))
    return jnp.exp2(-1.0 / h)


def make_step(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    *,
    ema_half_life: float | None = None,
    ema_ramp: float | None = 0.05,
    accumulate: int = 1,
    clip: float | None = None,
) -> Callable[[TrainState, Any, jax.Array], tuple[TrainState, dict[str, jax.Array]]]:
    """Build ``step(state, batch, key) -> (state, metrics)`` from a loss; pure, compiled by `fit`.

    Args:
        loss: ``loss(params, aux, batch, key) -> (loss, (aux, metrics))``; the loss is a mean over the batch.
        optimizer: an optax transformation.
        ema_half_life: half-life of the moving average in steps; None keeps `state.ema` as it is.
        ema_ramp: see `ema_decay`.
        accumulate: number of micro-batches, run one after the other; the leading axis of the batch must be a
            multiple of it. Gradients and metrics are means over them, `aux` passes through them.
        clip: largest global norm of the gradient.

    The metrics are those of the loss, `loss`, and `grad_norm` (before clipping).
    """
    gradient = jax.value_and_grad(loss, has_aux=True)

    def whole(params: Any, aux: Any, batch: Any, key: jax.Array) -> tuple[Any, Any, dict[str, jax.Array]]:
        (value, (aux, metrics)), grads = gradient(params, aux, batch, key)
        return grads, aux, {**metrics, "loss": value}

    def in_parts(params: Any, aux: Any, batch: Any, key: jax.Array) -> tuple[Any, Any, dict[str, jax.Array]]:
        # Strided parts: each takes an equal share of every device's rows, so nothing moves between devices.
        parts = jax.tree.map(
            lambda x: jnp.moveaxis(x.reshape(x.shape[0] // accumulate, accumulate, *x.shape[1:]), 1, 0), batch
        )

        def body(carry: Any, j: jax.Array) -> tuple[Any, None]:
            total, aux = carry
            part = jax.tree.map(lambda x: x[j], parts)
            grads, aux, metrics = whole(params, aux, part, jax.random.fold_in(key, j))
            return (jax.tree.map(lambda a, b: a + b / accumulate, total, (grads, metrics)), aux), None

        first = jax.tree.map(lambda x: x[0], parts)
        grads, _, metrics = jax.eval_shape(whole, params, aux, first, key)
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), (grads, metrics))
        ((grads, metrics), aux), _ = jax.lax.scan(body, (zeros, aux), jnp.arange(accumulate))
        return grads, aux, metrics

    def step(state: TrainState, batch: Any, key: jax.Array) -> tuple[TrainState, dict[str, jax.Array]]:
        grads, aux, metrics = (whole if accumulate == 1 else in_parts)(state.params, state.aux, batch, key)
        norm = optax.tree.norm(grads)
        if clip is not None:
            scale = jnp.minimum(1.0, clip / jnp.maximum(norm, 1e-12))
            grads = jax.tree.map(lambda g: g * scale.astype(g.dtype), grads)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        count, ema = state.step + 1, state.ema
        if ema_half_life is not None:
            decay = ema_decay(count, ema_half_life, ema_ramp)
            ema = jax.tree.map(lambda a, p: p + decay * (a - p), ema, params)
        return TrainState(count, params, aux, opt_state, ema), {**metrics, "grad_norm": norm}

    step.accumulate = accumulate  # type: ignore[attr-defined]  # of whose parts `fit` gives each device its examples
    return step
