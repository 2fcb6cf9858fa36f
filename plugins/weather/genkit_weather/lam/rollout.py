"""Ensembles of forecasts, block of leads by block: one compiled scan over the blocks, in chunks of particles."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from genkit.errors import UsageError
from genkit.tree import register_dataclass
from genkit_weather.area import frame_of, interior_of
from genkit_weather.data import Series, frames, take
from genkit_weather.lam.domain import Domain, Inputs, known, standardised
from genkit_weather.lam.times import STEP, Times


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

        The key is that of the block; `slots` (n, 2) are the start time and the member of each, for what is drawn. All
        leads of a block have the same key and slots, and `inputs.lead` tells which each is.
        """
        ...


@register_dataclass
@dataclass(frozen=True)
class Outlook:
    """All that is given to forecasts from S starts over L leads, standardised, on the host."""

    time: Any
    """(S,) int32 time of each start in minutes since 1970, of which, with the member, the noise is made"""
    before: Any
    """(S, h, w, V) interior at -lag"""
    prev: Any
    """(S, h, w, V) interior at 0"""
    frame: Any
    """(S, lag + L + 1, cells, V) frame at -lag..L"""
    forcing: Any
    """(S, outputs, ., ., 3F) windows (`Times.windows`) of each lead that is predicted"""
    climate: Any
    """(S, outputs, 3, H, W, V) climatology of the windows, see `Inputs.climate`, or None"""
    outside: Any = None
    """values (S, L, nodes, .) and times (S, L, .) of a second data set around the area, or None"""
    times: Times = field(default=STEP, metadata={"static": True})
    """lag and leads"""

    @property
    def leads(self) -> int:
        """L, steps of the data."""
        return self.frame.shape[1] - 1 - self.times.lag

    @classmethod
    def build(
        cls,
        domain: Domain,
        series: Series,
        starts: Sequence[int],
        leads: int,
        outside: Any = None,
        times: Times | None = None,
    ) -> "Outlook":
        """Gather it from a series; a start i knows the states i - lag and i, L counts steps of the data.

        What the series knows of the day before moves the climatology of the guess `relaxed`. `outside` is of
        `Host.windows`; `times` are those of the domain, or some of its leads.
        """
        first, width, times = np.asarray(starts), domain.frame_width, times or domain.times
        times.check_known(domain.times, domain.step_hours)
        times.outputs(leads)  # refuses what is no whole number of blocks

        if first.size == 0 or first.min() < times.lag or first.max() + leads >= len(series):
            raise UsageError(f"starts {first.tolist()} with {leads} leads do not fit in a series of {len(series)}")
        windows = times.windows(leads).reshape(-1, 3) - times.lag
        states = [interior_of(standardised(domain, take(series.known, first + i)), width) for i in (-times.lag, 0)]
        return cls(
            time=(series.time[first].astype("datetime64[m]").astype(np.int64)).astype(np.int32),
            before=states[0],
            prev=states[1],
            frame=frame_of(standardised(domain, frames(series, starts, range(-times.lag, leads + 1))), width),
            **known(domain, series, first[:, None, None] + windows, first),
            outside=None if outside is None else (outside.values, outside.deltas),
            times=times,
        )


@partial(jax.jit, donate_argnames="states", static_argnames=("times", "together"))
def forecast(key, model: Stepper, states, frame, forcing, climate, outside, slots, blocks, times=STEP, together=1):
    """Scan over the given blocks; returns the last two states and (outputs, n, h, w, V) physical states.

    `states` = (before, prev); `frame` (lag + L + 1, n, cells, V), `forcing`, `climate` and `outside` (outputs, n, ...),
    `blocks` (B,) int, by which the keys are folded. `together` leads of a block are computed at once; it divides their
    number.
    """
    model = model.prepared() if hasattr(model, "prepared") else model  # type: ignore[attr-defined]
    several = len(model.domain.times.leads) > 1
    windows = jnp.moveaxis(frame[times.windows(len(blocks) * times.block)], 2, 3)
    rest = jax.tree.map(lambda a: a.reshape(len(blocks), len(times.leads), *a.shape[1:]), (forcing, climate, outside))

    def body(states, u):
        block, *given = u
        own, (before, prev) = jax.random.fold_in(key, block), states

        def at(u):
            """Some leads (c,), what is given at them (c, n, ...) -> (c, n, h, w, V)."""
            leads, given = u
            c, n = len(leads), len(prev)
            # members first, so that their place on the devices stays
            told = jax.tree.map(lambda a: jnp.moveaxis(a, 0, 1).reshape(n * c, *a.shape[2:]), given)
            now, past, here = (jnp.repeat(a, c, 0) for a in (prev, before, slots))
            inputs = Inputs(now, past, *told, lead=jnp.tile(leads, n) if several else None)
            x = model.step(own, inputs, here)
            return jnp.moveaxis(x.reshape(n, c, *x.shape[1:]), 0, 1)

        parts = len(times.leads) // together
        groups = jax.tree.map(
            lambda a: a.reshape(parts, together, *a.shape[1:]), (np.asarray(times.leads, np.int32), given)
        )
        if parts == 1:
            x = at(jax.tree.map(lambda a: a[0], groups))
        else:
            x = jax.lax.map(at, groups).reshape(-1, *prev.shape)
        return (prev if times.past is None else x[times.past], x[-1]), x * model.domain.std + model.domain.mean

    states, out = jax.lax.scan(body, states, (blocks, windows, *rest))
    return states, out.reshape(-1, *out.shape[2:])


def rollout(
    key: jax.Array,
    model: Stepper,
    outlook: Outlook,
    members: int,
    *,
    first: int = 0,
    chunk: int | None = None,
    lead_chunk: int | None = None,
    blocks: int | None = None,
    mesh=None,
) -> Iterator[tuple[range, np.ndarray]]:
    """Ensemble forecasts: yields (outputs, states (S, outputs, members, h, w, V)) in physical units, interior cells.

    Outputs are numbers from 1 on of the leads of `outlook.times.outputs`; where each step of the data is one, they are
    the leads. The numbers of a member depend on the key, the time of its start, its own number and the lead alone.

    Args:
        key: of the whole forecast.
        model: the trained model, such as `Sampled.by(sampler, forecaster)`.
        outlook: starts, boundary and forcing.
        members: ensemble size.
        first: number of the first member.
        chunk: particles (starts times members) run at once; all by default. It bounds the memory.
        lead_chunk: leads of a block computed at once, at most; all by default. It bounds the memory too.
        blocks: blocks of leads computed before they are yielded; all by default.
        mesh: spread the particles of a chunk over the `data` axis of this mesh, and rows of images or edges of
            graphs over `model`.
    """
    if members < 1:
        raise UsageError(f"{members} members are too few; expected at least 1")
    if lead_chunk is not None and lead_chunk < 1:
        raise UsageError(f"lead_chunk={lead_chunk} is too few; expected at least 1")
    times, count = outlook.times, len(outlook.time)
    each, total = len(times.leads), outlook.leads // times.block
    together = max(c for c in range(1, min(lead_chunk or each, each) + 1) if each % c == 0)
    particles = count * members
    size = min(chunk or particles, particles)
    if mesh is not None:
        size = -(-size // mesh.shape["data"]) * mesh.shape["data"]
    step = min(blocks or total, total)
    put, put_leads = _placing(mesh)
    model = jax.device_put(model) if mesh is None else _replicate(model, mesh)
    # the last chunk is filled up with copies, so that every chunk is the same program
    rows = np.resize(np.arange(particles), -(-particles // size) * size).reshape(-1, size)
    states: list = [(outlook.before[r // members], outlook.prev[r // members]) for r in rows]
    for block in range(0, total, step):
        here, parts = range(block, min(block + step, total)), []
        outputs = slice(here.start * each, here.stop * each)
        around = slice(here.start * times.block, here.stop * times.block + times.lag + 1)
        for i, r in enumerate(rows):
            start = r // members
            given = jax.tree.map(
                lambda a, start=start, outputs=outputs: put_leads(np.moveaxis(a[start, outputs], 0, 1)),
                (outlook.forcing, outlook.climate, outlook.outside),
            )
            with nullcontext() if mesh is None else jax.set_mesh(mesh):
                states[i], out = forecast(
                    key,
                    model,
                    tuple(put(np.asarray(s)) for s in states[i]),
                    put_leads(np.moveaxis(outlook.frame[start, around], 0, 1)),
                    *given,
                    put(np.stack([outlook.time[start], first + r % members], -1).astype(np.int32)),
                    np.arange(here.start, here.stop, dtype=np.int32),
                    times,
                    together,
                )
            states[i] = jax.device_get(states[i])
            parts.append(np.asarray(out))
        whole = np.concatenate(parts, 1)[:, :particles]
        whole = whole.reshape(len(whole), count, members, *whole.shape[2:])
        yield range(outputs.start + 1, outputs.stop + 1), np.moveaxis(whole, 0, 1)


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
