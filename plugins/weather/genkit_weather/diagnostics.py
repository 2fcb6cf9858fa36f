"""How a forecast errs: ranks, spectra, distance to the frame, balance; arrays by variable and lead."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from genkit import metrics
from genkit_weather.verification import lead_hours, pieces

Array = jax.Array


def rank_counts(
    forecast: xr.Dataset,
    truth: xr.Dataset,
    *,
    frame: tuple[int, int] = (0, 0),
    every: int = 4,
    seed: int = 0,
) -> xr.Dataset:
    """Counts (lead, rank) of the truth's rank among the members, a variable each.

    Neighbouring cells say the same twice: only each `every`-th in y and x counts.
    """
    counts: dict[str, np.ndarray] = {}
    seen: dict[str, int] = {}
    for name, ens, obs, _, known in pieces(forecast, truth, frame):
        fresh = min(ens.shape[0], forecast.sizes["start"] - seen.get(name, 0))
        key = jax.random.fold_in(jax.random.key(seed), seen.get(name, 0))
        rows, columns = (slice(min(every // 2, size // 2), None, every) for size in obs.shape[-2:])
        thin = (slice(fresh), slice(None), ..., rows, columns)
        ens, obs = ens[thin], obs[thin]
        if known is not None:
            ens, obs = (a[..., known[rows, columns]] for a in (ens, obs))
        here = np.asarray(_rank_counts(key, ens, obs))
        counts[name] = counts.get(name, np.zeros_like(here)) + here
        seen[name] = seen.get(name, 0) + fresh
    coords = {"lead": lead_hours(forecast), "rank": np.arange(forecast.sizes.get("member", 1) + 1)}
    return xr.Dataset({n: (("lead", "rank"), c) for n, c in counts.items()}, coords, _titles(forecast))


def spectra(forecast: xr.Dataset, truth: xr.Dataset, *, frame: tuple[int, int] = (0, 0)) -> xr.Dataset:
    """Variance spectra (kind, lead, frequency) of truth, members and ensemble mean over the interior.

    `frequency` is in cycles per cell, below 0.5; attribute `cell_km` holds the size of a cell where it is
    known. A ratio members / truth of 1 is the right amount of detail at that scale; the mean is smoother. NaN of a
    variable that some cells have no values of.
    """
    kinds = ("truth", "members", "mean")
    return _averaged(forecast, truth, frame, _spectra, kinds, "frequency", _frequencies)


def by_distance(forecast: xr.Dataset, truth: xr.Dataset, *, frame: tuple[int, int] = (0, 0)) -> xr.Dataset:
    """Spread and RMSE of the mean (kind, lead, distance) by distance to the frame in cells, from 1."""
    table = _averaged(forecast, truth, frame, _rings, ("spread", "rmse"), "distance", _distances)
    return np.sqrt(table).assign_attrs(table.attrs)


def geostrophic_residual(data: xr.Dataset, dy: float, *, frame: tuple[int, int] = (0, 0)) -> xr.DataArray:
    """Ageostrophic share of the lower wind, std(u_sfc + d_y (z_up - t_mid)) / std(u_sfc), by lead.

    For the two-layer quasi-geostrophic fields, whose wind follows from the streamfunction; `dy` is the
    spacing of rows in the unit of length of the equations. Works on a forecast and on the truth.
    """
    field = (data["z_up"] - data["t_mid"]).transpose(..., "y", "x")
    wind = data["u_sfc"].transpose(*field.dims)
    gradient = xr.zeros_like(field) + np.nan
    gradient[..., 1:-1, :] = (field.values[..., 2:, :] - field.values[..., :-2, :]) / (2 * dy)
    edge = max(1, frame[0])
    inside = {"y": slice(edge, -edge), "x": slice(frame[1], field.sizes["x"] - frame[1])}
    over = [d for d in field.dims if d != "lead"]
    return (wind + gradient).isel(inside).std(over) / wind.isel(inside).std(over)


def _averaged(forecast, truth, frame, function, kinds, dim, coordinate) -> xr.Dataset:
    """Mean over all starts of `function(ens, obs, known) -> (kind, start, lead, K)`: a Dataset (kind, lead, dim)."""
    count = forecast.sizes["start"]
    total: dict[str, np.ndarray] = {}
    seen: dict[str, int] = {}
    for name, ens, obs, _, known in pieces(forecast, truth, frame):
        fresh = min(ens.shape[0], count - seen.get(name, 0))
        here = np.asarray(function(ens, obs, known))[:, :fresh].sum(axis=1, dtype=np.float64)
        total[name] = total.get(name, 0) + here / count
        seen[name] = seen.get(name, 0) + fresh
    shape = forecast.sizes["y"] - 2 * frame[0], forecast.sizes["x"] - 2 * frame[1]
    coords = {"kind": list(kinds), "lead": lead_hours(forecast), dim: coordinate(shape)}
    arrays = {n: (("kind", "lead", dim), a) for n, a in total.items()}
    return xr.Dataset(arrays, coords, _titles(forecast))


@jax.jit
def _rank_counts(key: Array, ens: Array, obs: Array) -> Array:
    at_lead = partial(metrics.rank_histogram, axis=1)
    return jax.vmap(at_lead, in_axes=(0, 1, 1))(jax.random.split(key, obs.shape[1]), ens, obs)


def _spectra(ens: Array, obs: Array, known: np.ndarray | None) -> Array:
    power = _power(ens, obs)
    return power if known is None else power * np.nan


@jax.jit
def _power(ens: Array, obs: Array) -> Array:
    keep = _frequencies(obs.shape[-2:]).size

    def power(x: Array) -> Array:
        return metrics.dct_spectrum(x).power[..., :keep]

    members = jax.lax.map(power, ens.swapaxes(0, 2)).mean(axis=0).swapaxes(0, 1)
    return jnp.stack([power(obs), members, power(ens.mean(axis=2))])


def _frequencies(shape: tuple[int, ...]) -> np.ndarray:
    """Those below 0.5 cycles per cell, where the rings of the wavenumber plane are whole."""
    short = min((n for n in shape if n > 1), default=1)
    return np.arange(1, short) * 0.5 / short


@jax.jit
def _rings(ens: Array, obs: Array, known: Array | None) -> Array:
    """Mean over each ring of cells of variance and squared error."""
    ring = _ring_of(obs.shape[-2:])
    member = (ring[..., None] == np.arange(1, ring.max() + 1)).astype(np.float32)
    member = member if known is None else member * known[..., None]
    member = member / member.sum(axis=(0, 1))
    variance = ens.var(axis=2, ddof=min(1, ens.shape[2] - 1))
    square = jnp.square(ens.mean(axis=2) - obs)
    return jnp.einsum("kslyx,yxr->kslr", jnp.stack([variance, square]), member, precision="highest")


def _ring_of(shape: tuple[int, ...]) -> np.ndarray:
    """Distance (y, x) of each interior cell to the frame in cells; a line of cells has no frame across."""

    def side(n: int) -> np.ndarray:
        return np.minimum(np.arange(n), np.arange(n)[::-1]) + 1 if n > 1 else np.full(1, max(shape))

    return np.minimum(side(shape[0])[:, None], side(shape[1]))


def _distances(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(1, _ring_of(shape).max() + 1)


def _titles(forecast: xr.Dataset) -> dict[str, object]:
    """What figures need of the forecast: number of starts and members, size of a cell."""
    attrs: dict[str, object] = {"starts": forecast.sizes["start"], "members": forecast.sizes.get("member", 1)}
    if "x" in forecast.coords and forecast["x"].ndim == 1 and forecast["x"].attrs.get("units") == "km":
        attrs["cell_km"] = float(np.diff(forecast["x"].values[:2])[0])
    return attrs
