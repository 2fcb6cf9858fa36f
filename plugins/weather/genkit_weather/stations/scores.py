"""Scores of a forecast at stations, by variable and lead time."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from genkit import metrics
from genkit.errors import UsageError

QUANTILES = (0.5, 0.75, 0.9)
Thresholds = Mapping[str, list[float]]


def thresholds(asked: tuple[tuple[str, float], ...], observations: xr.Dataset) -> Thresholds:
    """Thresholds of events by variable: those asked for, else quantiles of the observations to three digits."""
    known = list(map(str, observations.data_vars))
    for name, _ in asked:
        if name not in known:
            raise UsageError(f"thresholds: no variable {name} is observed; there are {', '.join(known)}")
    if asked:
        return {n: sorted(v for other, v in asked if other == n) for n in known}
    levels = {n: np.nanquantile(observations[n].values, QUANTILES) for n in known}
    return {n: list(dict.fromkeys(float(f"{v:.3g}") for v in values)) for n, values in levels.items()}


def station_scores(
    forecast: xr.Dataset, observations: xr.Dataset, events: Thresholds, baseline: str | None = None
) -> dict[str, float | None]:
    """Flat results `station_<metric>/<variable>/<lead>`, each observation counting the same.

    rmse, mae and bias (forecast minus observed) are those of the ensemble mean, crps the fair one; ets is that of
    the event that the ensemble mean reaches the threshold, as station_ets/t2m>=273/6h; brier the fair score of the
    share of members that do, of several. With a pair of winds
    station_vector_rmse/wind/6h, sqrt(mean(du^2 + dv^2)). Observation errors are part of all of them. None where
    there is no observation, or no event.

    Args:
        forecast: (start, lead, member, station) of `at_stations`.
        observations: (start, lead, station) of `observed`.
        events: thresholds by variable, of `thresholds`.
        baseline: name put before the metric, as persistence.station_rmse/t2m/6h.
    """
    prefix = "" if baseline is None else f"{baseline}."
    results: dict[str, float | None] = {}

    def add(metric: str, variable: str, values: np.ndarray) -> None:
        for lead, value in zip(observations["lead"].values, values, strict=True):
            key = f"{prefix}station_{metric}/{variable}/{float(lead):g}h"
            results[key] = float(value) if np.isfinite(value) else None

    square = {}
    for name in map(str, observations.data_vars):
        y = observations[name].transpose("start", "lead", "station").values
        x = forecast[name].transpose("start", "lead", "member", "station").values
        levels = np.asarray(events.get(name, []), np.float64)
        table, by_event = jax.device_get(_scores(*map(jnp.asarray, (x, np.nan_to_num(y), np.isfinite(y), levels))))
        square[name] = table["mse"]
        add("rmse", name, np.sqrt(table["mse"]))
        for metric in ("mae", "bias", "crps"):
            add(metric, name, table[metric])
        for metric, rows in by_event.items():
            for level, values in zip(levels, rows, strict=True):
                add(metric, f"{name}>={level:g}", values)
    wind = observations.attrs["wind"]
    if wind and set(wind) <= set(square):
        add("vector_rmse", "wind", np.sqrt(square[wind[0]] + square[wind[1]]))
    return results


def station_reliability(
    forecast: xr.Dataset, observations: xr.Dataset, events: Thresholds
) -> dict[str, dict[float, metrics.Reliability]]:
    """Reliability of the share of members that reach a threshold, over all starts, leads and stations.

    Arguments as of `station_scores`; the result is by variable and threshold.
    """
    found = {}
    for name, levels in events.items():
        y = observations[name].transpose("start", "lead", "station").values
        x = forecast[name].transpose("member", "start", "lead", "station").values
        found[name] = {
            level: metrics.reliability((x >= level).mean(0), np.nan_to_num(y) >= level, np.isfinite(y))
            for level in levels
        }
    return found


@jax.jit
def _scores(
    x: jax.Array, y: jax.Array, there: jax.Array, levels: jax.Array
) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """Scores (L,), and of events (K, L), of x (S, L, M, N) against y (S, L, N), both where `there`."""
    over = {"weights": there, "reduce": (0, 2)}
    mean = x.mean(axis=2)
    table = {
        "mse": metrics.mse(mean, y, **over),
        "mae": metrics.mae(mean, y, **over),
        "bias": metrics.bias(mean, y, **over),
        "crps": metrics.crps(x, y, fair=True, axis=2, **over),
    }

    def of_event(level: jax.Array) -> dict[str, jax.Array]:
        found = {"ets": metrics.contingency(mean >= level, y >= level, there, (0, 2)).ets}
        if x.shape[2] > 1:
            found["brier"] = metrics.brier(x, y, level, axis=2, **over)
        return found

    return table, jax.vmap(of_event)(levels)
