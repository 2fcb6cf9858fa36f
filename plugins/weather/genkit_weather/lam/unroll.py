"""The rollout of a training: a model's steps over windows, with gradients."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from genkit.errors import UsageError
from genkit_weather.lam.domain import Inputs
from genkit_weather.lam.rollout import Outlook


def unroll(
    step: Callable[..., tuple[jax.Array, Any]], given: Outlook, *per_step: Any, written_out: bool = False
) -> Any:
    """Scan `step(inputs, *u) -> (next states, output)` over the steps of n windows; outputs are stacked (T, ...).

    `per_step` are arrays (T, ...) of which each step gets its own rows u. Of several steps only the states between
    them are kept for the gradient, everything within a step is computed again. With `written_out` there is no loop: on
    a CPU XLA differentiates convolutions within one by plain loops over all numbers, many times slower than otherwise.
    """
    times = given.times
    if times.block != times.delta or times.past is not None:
        raise UsageError(f"a training rollout makes one lead a step and knows the state before it, not {times}")
    frame = jnp.moveaxis(given.frame, 1, 0)
    windows = jnp.moveaxis(frame[times.windows(given.leads)[:, 0]], 1, 2)
    forcing, climate, outside = jax.tree.map(
        lambda a: jnp.moveaxis(a, 1, 0), (given.forcing, given.climate, given.outside)
    )

    def body(states: Any, u: Any) -> Any:
        told, rest = u
        x, out = step(Inputs(states[1], states[0], *told), *rest)
        return (states[1], x), out

    if len(windows) > 1:
        body = jax.checkpoint(body, prevent_cse=False)  # type: ignore[arg-type]
    states, every = (given.before, given.prev), ((windows, forcing, climate, outside), per_step)
    if not written_out:
        return jax.lax.scan(body, states, every)[1]
    outputs = []
    for step_number in range(len(windows)):
        states, out = body(states, jax.tree.map(lambda a, t=step_number: a[t], every))
        outputs.append(out)
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *outputs)
