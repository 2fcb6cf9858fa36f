"""The usual way to learn: a loss, examples, one validation at all times, and which parameters are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import jax
import numpy as np

from genkit.data import batches
from genkit.errors import UsageError
from genkit.parallel import all_devices, mesh_for, replicate
from genkit.train.phase import Phase, load
from genkit.train.step import TrainState, make_step


def learn(
    run: Any,
    name: str,
    loss: Callable[..., Any],
    params: Any,
    examples: Any,
    held_out: Sequence[Any],
    *,
    optimizer: Any,
    steps: int,
    batch: int,
    near: Any = None,
    aux: Any = None,
    ema: float | None = None,
    accumulate: int = 1,
    clip: float | None = None,
    validate: int = 250,
    keep: Literal["last", "best"] = "last",
) -> Any:
    """Train parameters in a run and return the averaged ones.

    Args:
        run: a `genkit.experiment.Run`, for its folder, keys and seed.
        name: of the phase.
        loss: ``loss(params, aux, batch, key, training=True) -> (loss, (aux, metrics))``.
        params: the first parameters, or ``params(key)``, which draws them.
        examples: random access to training examples, see `genkit.data.batches`.
        held_out: batches of the validation; none where there are none.
        optimizer: an optax transformation.
        steps: training steps.
        batch: examples in a step.
        near: a number of each example; those of nearly equal ones share a batch, see `genkit.data.batches`.
        aux: what the loss is given beside the parameters and that is not trained.
        ema: half-life of the averaged parameters in steps; None does not average.
        accumulate: parts into which a batch is cut to save memory; devices share the examples of a part.
        clip: largest norm of the gradient.
        validate: steps between validations.
        keep: the parameters of the last step, or of the least validation loss, the first ones included: a later stage
            on few data can do harm.
    """
    step = make_step(loss, optimizer, ema_half_life=ema, accumulate=accumulate, clip=clip)
    test = jax.jit(partial(loss, training=False))
    key = run.key(f"{name} validation")

    def validation(params: Any) -> float:
        keys = jax.random.split(key, len(held_out))
        with all_devices(batch // accumulate):
            values = [test(params, aux, b, k)[0] for b, k in zip(held_out, keys, strict=True)]
        return float(np.mean(jax.device_get(values)))

    def hook(state: TrainState, step: int) -> dict[str, float]:
        return {"val/loss": validation(state.averaged)}

    def init(key: Any) -> TrainState:
        begin = params(key) if callable(params) else params
        return TrainState.create(begin, optimizer, aux, ema=ema is not None)

    every = ((validate, hook),) if len(held_out) else ()
    phase = Phase(name, init, step, batches(examples, batch, seed=run.seed, near=near), steps, every=every)
    if keep == "last":
        return run.fit(phase).averaged
    if callable(params) or not every:
        raise UsageError(f"training {name!r}: keep=best compares with the first parameters; give them and a validation")
    # placed as in the training, so that the validation is one program; which may give their memory away
    mesh = mesh_for(batch // accumulate)
    first = validation(replicate(params, mesh)), jax.device_get(params)
    run.fit(phase)
    best = load(phase, run.folder, mesh=mesh).averaged
    return first[1] if first[0] < validation(best) else best
