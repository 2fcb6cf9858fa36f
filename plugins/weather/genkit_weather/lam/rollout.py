"""Ensembles of forecasts, step by step: one compiled scan over lead times, in chunks of particles."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.tree import register_dataclass
from genkit_weather.area import frame_of, interior_of
from genkit_weather.data import Series, frames, take
from genkit_weather.lam.domain import Domain, Inputs, known


class Stepper(Protocol):
    """A model that makes one step; a pytree.

    One that computes something once for all steps has a method `prepared()`, which gives the stepper that holds it.
    """

    @property
    def domain(self) -> Domain:
        """Statistics and fixed fields."""
        ...

    def step(self, key: jax.Array, inputs: Inputs, slots: jax.Array) -> jax.Array:
        """The next interior states (n, h, w, V), standardised.

        The key is that of the lead; `slots` (n, 2) are the start time and the member of each, for what is drawn.
        """
        ...


@register_dataclass
@dataclass(frozen=True)
class Outlook:
    """All that is given to forecasts from S starts over L leads, standardised, on the host."""

    time: Any
    """(S,) int32 time of each start in minutes since 1970, of which, with the member, the noise is made"""
    before: Any
    """(S, h, w, V) interior at lead -1"""
    prev: Any
    """(S, h, w, V) interior at lead 0"""
    frame: Any
    """(S, L + 2, cells, V) frame at leads -1..L"""
    forcing: Any
    """(S, L, ., ., 3F) windows around leads 0..L-1"""
    climate: Any
    """(S, L, 3, H, W, V) climatology of the hours around leads 0..L-1, or None"""
    outside: Any = None
    """values (S, L, nodes, .) and times (S, L, .) of a second data set around the area, or None"""

    @classmethod
    def build(cls, domain: Domain, series: Series, starts: Sequence[int], leads: int, outside: Any = None) -> "Outlook":
        """Gather it from a series; a start i knows the states i-1 and i. `outside` is of `Host.windows`."""
        first, width = np.asarray(starts), domain.frame_width

        def standard(array):
            return (np.asarray(array, np.float32) - np.asarray(domain.mean)) / np.asarray(domain.std)

        if first.size == 0 or first.min() < 1 or first.max() + leads >= len(series):
            raise UsageError(f"starts {first.tolist()} with {leads} leads do not fit in a series of {len(series)}")
        steps = [known(domain, series, first + lead) for lead in range(leads)]
        states = [interior_of(standard(take(series.known, first + i)), width) for i in (-1, 0)]
        return cls(
            time=(series.time[first].astype("datetime64[m]").astype(np.int64)).astype(np.int32),
            before=states[0],
            prev=states[1],
            frame=frame_of(standard(frames(series, starts, range(-1, leads + 1))), width),
            forcing=np.stack([s["forcing"] for s in steps], 1),
            climate=None if steps[0]["climate"] is None else np.stack([s["climate"] for s in steps], 1),
            outside=None if outside is None else (outside.values, outside.deltas),
        )


@partial(jax.jit, donate_argnames="states")
def forecast(key, model: Stepper, states, frame, forcing, climate, outside, slots, leads):
    """Scan of `model.step` over the given leads; returns the last two states and (L, n, h, w, V) physical states.

    `states` = (before, prev); `frame` (L + 2, n, cells, V), `forcing`, `climate` and `outside` (L, n, ...), `leads`
    (L,) int, by which the keys are folded.
    """
    windows = jnp.stack([frame[:-2], frame[1:-1], frame[2:]], 2)
    model = model.prepared() if hasattr(model, "prepared") else model  # type: ignore[attr-defined]

    def body(states, u):
        lead, *given = u
        inputs = Inputs(states[1], states[0], *given)
        x = model.step(jax.random.fold_in(key, lead), inputs, slots)
        return (states[1], x), x * model.domain.std + model.domain.mean

    return jax.lax.scan(body, states, (leads, windows, forcing, climate, outside))


def rollout(
    key: jax.Array,
    model: Stepper,
    outlook: Outlook,
    members: int,
    *,
    chunk: int | None = None,
    block: int | None = None,
    mesh=None,
) -> Iterator[tuple[range, np.ndarray]]:
    """Ensemble forecasts: yields (leads, states (S, leads, members, h, w, V)) in physical units, interior cells.

    The numbers of a member depend on the key, the time of its start, its own number and the lead alone.

    Args:
        key: of the whole forecast.
        model: the trained model, such as `Sampled.by(sampler, forecaster)`.
        outlook: starts, boundary and forcing.
        members: ensemble size.
        chunk: particles (starts times members) run at once; all by default. It bounds the memory.
        block: leads computed before they are yielded; all by default.
        mesh: spread the particles of a chunk over the `data` axis of this mesh.
    """
    if members < 1:
        raise UsageError(f"{members} members are too few; expected at least 1")
    count, leads = len(outlook.time), outlook.frame.shape[1] - 2
    particles = count * members
    size = min(chunk or particles, particles)
    if mesh is not None:
        size = -(-size // mesh.shape["data"]) * mesh.shape["data"]
    step = min(block or leads, leads)
    put, put_leads = _placing(mesh)
    model = jax.device_put(model) if mesh is None else _replicate(model, mesh)
    # the last chunk is filled up with copies, so that every chunk is the same program
    rows = np.resize(np.arange(particles), -(-particles // size) * size).reshape(-1, size)
    states: list = [(outlook.before[r // members], outlook.prev[r // members]) for r in rows]
    for first in range(0, leads, step):
        here, parts = range(first, min(first + step, leads)), []
        for i, r in enumerate(rows):
            start = r // members
            cut = partial(_cut, put_leads, start, here)
            given = jax.tree.map(cut, (outlook.forcing, outlook.climate, outlook.outside))
            slots = put(np.stack([outlook.time[start], r % members], -1).astype(np.int32))
            states[i], out = forecast(
                key,
                model,
                tuple(put(np.asarray(s)) for s in states[i]),
                cut(outlook.frame, more=2),
                *given,
                slots,
                np.arange(here.start, here.stop, dtype=np.int32),
            )
            states[i] = jax.device_get(states[i])
            parts.append(np.asarray(out))
        whole = np.concatenate(parts, 1)[:, :particles]
        whole = whole.reshape(len(here), count, members, *whole.shape[2:])
        yield range(here.start + 1, here.stop + 1), np.moveaxis(whole, 0, 1)


def _cut(put, starts: np.ndarray, leads: range, array: Any, more: int = 0) -> jax.Array:
    """(L + more, n, ...) of an array (S, leads, ...)."""
    return put(np.moveaxis(array[starts, leads.start : leads.stop + more], 0, 1))


def _placing(mesh):
    """Functions that put arrays (n, ...) and (L, n, ...) on the devices."""
    if mesh is None:
        return jnp.asarray, jnp.asarray
    spec = jax.sharding.PartitionSpec
    return (
        partial(jax.device_put, device=jax.sharding.NamedSharding(mesh, spec(*axes)))
        for axes in (("data",), (None, "data"))
    )


def _replicate(tree, mesh):
    return jax.device_put(tree, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))
