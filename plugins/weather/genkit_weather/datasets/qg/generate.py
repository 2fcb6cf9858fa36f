"""Trajectories of the quasi-geostrophic model: nature runs, exact ensembles, forecasts of a coarse host model."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from genkit.programs import inherit
from genkit_weather.datasets.qg import model
from genkit_weather.datasets.qg.model import Flow

Times = Sequence[int] | np.ndarray
ROWS, COLUMNS = slice(16, 48), slice(12, 44)  # the limited area in the full domain
CHUNK = 12  # outputs a compiled program makes
BATCH = 16  # trajectories side by side on an accelerator
HOST_POINTS = 32  # the host model's grid
HOST_CYCLE = 16  # outputs between two host forecasts that `host_archive` strings together


def block_mean(array: np.ndarray | jax.Array, block: int):  # noqa: ANN201 - numpy in, numpy out; jax in, jax out
    """(..., n, n, V) to (..., n/block, n/block, V)."""
    *lead, n, _, v = array.shape
    return array.reshape(*lead, n // block, block, n // block, block, v).mean((-4, -2))


def bilinear(n: int, block: int) -> np.ndarray:
    """(n, n/block) weights of periodic bilinear interpolation from block centres to grid points, one axis."""
    place = (np.arange(n) - (block - 1) / 2) / block
    low = np.floor(place).astype(int)
    weights = np.zeros((n, n // block))
    weights[np.arange(n), low % (n // block)] = 1 - (place - low)
    weights[np.arange(n), (low + 1) % (n // block)] += place - low
    return weights


def refine(coarse: np.ndarray, n: int = 64) -> np.ndarray:
    """Full-domain fields (..., m, m, V) to the limited area (..., 32, 32, V) by bilinear interpolation."""
    weights = bilinear(n, n // coarse.shape[-2]).astype(np.float32)
    return np.einsum("yY,xX,...YXv->...yxv", weights[ROWS], weights[COLUMNS], coarse.astype(np.float32), optimize=True)


@partial(jax.jit, static_argnums=0)
def _nature_chunk(flow: Flow, state: jax.Array, key: jax.Array, when: jax.Array):
    def step(state: jax.Array, when: jax.Array):
        values = model.fields(flow, state)
        grid = jnp.moveaxis(model.to_grid(flow, state), -3, -1)
        out = (values[ROWS, COLUMNS], block_mean(values, 4), block_mean(values, 2), block_mean(grid, 2), grid)
        return model.advance(flow, state, key, when), out

    return jax.lax.scan(step, state, when + jnp.arange(CHUNK))


def nature(flow: Flow, seed: int, spinup: int, length: int) -> dict[str, np.ndarray]:
    """One free run of `length` outputs after `spinup`.

    area (T, 32, 32, 5) float32: fields of the limited area; coarse (T, 16, 16, 5) float16 and globe (T, 32, 32, 5)
    float32: 4 x 4 and 2 x 2 block means of the fields of the full domain; blocks (T, 32, 32, 3) float16: 2 x 2 block
    means of q1, q2, th; full (T, 64, 64, 3) float32: q1, q2, th themselves.
    """
    start, noise = jax.random.split(jax.random.key(seed))
    state = jax.jit(model.initial, static_argnums=0)(flow, start)
    pieces = []
    for when in range(0, spinup + length, CHUNK):
        state, out = _nature_chunk(flow, state, noise, jnp.int32(when))
        if when + CHUNK > spinup:
            types = (np.float32, np.float16, np.float32, np.float16, np.float32)
            pieces.append([np.asarray(a).astype(t) for a, t in zip(out, types, strict=True)])
    cut = slice(spinup % CHUNK, spinup % CHUNK + length)
    joined = (np.concatenate(parts)[cut] for parts in zip(*pieces, strict=True))
    return dict(zip(("area", "coarse", "globe", "blocks", "full"), joined, strict=True))


def natures(flow: Flow, seeds: Sequence[int], spinup: int, lengths: Sequence[int]) -> list[dict[str, np.ndarray]]:
    """Several runs, one thread each, longest first: two cores share three splits evenly."""
    order = np.argsort(lengths)[::-1]
    with ThreadPoolExecutor(min(len(lengths), os.cpu_count() or 1)) as pool:
        runs = {int(i): pool.submit(inherit(nature), flow, seeds[i], spinup, lengths[i]) for i in order}
        return [runs[i].result() for i in range(len(lengths))]


@partial(jax.jit, static_argnums=(0, 2))
def _view(flow: Flow, state: jax.Array, area: bool) -> jax.Array:
    """Fields (b, ...) of states (b, 3, M, K), of the limited area or the full domain."""
    values = model.fields(flow, state)
    return values[:, ROWS, COLUMNS] if area else values


@partial(jax.jit, static_argnums=0)
def _ahead(flow: Flow, state: jax.Array, key: jax.Array, when: jax.Array) -> jax.Array:
    """States (b, 3, M, K) one output later, each with its own key and time."""
    return jax.vmap(partial(model.advance, flow))(state, key, when)


def ensemble(flow: Flow, states: np.ndarray, keys: jax.Array, when: np.ndarray, steps: int, area: bool) -> np.ndarray:
    """Fields (n, steps + 1, ...) of trajectories from states (n, N, N, 3) on the grid, keys (n,) and times (n,).

    One program for any number of trajectories and steps: an accelerator takes BATCH of them at once, a processor
    one a core.
    """
    n = len(states)
    size = 1 if jax.default_backend() == "cpu" else BATCH
    padded = np.resize(np.arange(n), -(-n // size) * size).reshape(-1, size)

    def run(rows: np.ndarray) -> np.ndarray:
        grid = jnp.asarray(np.moveaxis(states[rows], -1, -3), jnp.float32)
        state, key = jax.jit(model.to_spectral, static_argnums=0)(flow, grid), keys[rows]
        out = [np.asarray(_view(flow, state, area))]
        for step in range(steps):
            state = _ahead(flow, state, key, jnp.asarray(when[rows] + step, jnp.int32))
            out.append(np.asarray(_view(flow, state, area)))
        return np.stack(out, 1)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return np.concatenate(list(pool.map(inherit(run), padded)))[:n]


def oracle(
    flow: Flow,
    full: np.ndarray,
    spinup: int,
    starts: Sequence[int],
    members: int,
    leads: Sequence[int],
    seed: int = 0,
    area: bool = True,
) -> np.ndarray:
    """Exact draws (start, lead, member, H, W, 5) of the future: re-runs from the true state with other noise.

    Of the limited area, or of the whole domain.
    """
    first = np.asarray(starts)
    base = jax.random.key(10**6 + seed)

    def key(start: jax.Array, member: jax.Array) -> jax.Array:
        return jax.random.fold_in(jax.random.fold_in(base, start), member)

    every = np.repeat(first, members)
    keys = jax.vmap(key)(jnp.asarray(every), jnp.asarray(np.tile(np.arange(members), len(first))))
    runs = ensemble(flow, full[every], keys, every + spinup, max(leads), area)
    return runs.reshape(len(first), members, *runs.shape[1:])[:, :, list(leads)].swapaxes(1, 2)


def host_flow(flow: Flow) -> Flow:
    """The model of the boundary data: the same equations on half the points, without noise."""
    block = flow.n // HOST_POINTS
    return replace(flow, n=HOST_POINTS, noise=0.0, offset=(block - 1) / 2 / block)  # its points are block centres


def host_runs(flow: Flow, blocks: np.ndarray, spinup: int, starts: Times, leads: Times) -> np.ndarray:
    """Fields (start, lead, 32, 32, 5) of the full domain on the host's grid; a lead below 0 is the host's analysis."""
    coarse = host_flow(flow)
    first, ahead = np.asarray(starts), np.asarray(leads)
    keys = jax.random.split(jax.random.key(0), len(first))  # unused without noise
    runs = ensemble(coarse, blocks[first], keys, first + spinup, int(max(ahead.max(), 0)), area=False)
    out = runs[:, np.maximum(ahead, 0)]
    for j in np.flatnonzero(ahead < 0):
        out[:, j] = ensemble(coarse, blocks[first + ahead[j]], keys, first, 0, area=False)[:, 0]
    return out


def host(flow: Flow, blocks: np.ndarray, spinup: int, starts: Times, leads: Times) -> np.ndarray:
    """Boundary data (start, lead, 32, 32, 5) of a host forecast from each start; before it, the host's analysis."""
    return refine(host_runs(flow, blocks, spinup, starts, leads), flow.n)


def host_archive(flow: Flow, blocks: np.ndarray, spinup: int) -> np.ndarray:
    """Boundary data (T, 32, 32, 5): host forecasts started every HOST_CYCLE outputs, one after another."""
    starts = np.arange(0, len(blocks), HOST_CYCLE)
    runs = host(flow, blocks, spinup, starts, np.arange(HOST_CYCLE))
    return runs.reshape(-1, *runs.shape[2:])[: len(blocks)]
