"""Scores of events on the whole field, such as 1 mm of rain in six hours: Brier, fractions skill, reliability."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from genkit import metrics
from genkit.errors import UsageError
from genkit_weather.verification import lead_hours, pieces


@dataclass(frozen=True)
class Events:
    """Events that are scored: that a variable reaches a value."""

    thresholds: tuple[tuple[str, float], ...] = ()
    """variables and values in their units, as `tp 1 tp 5`"""
    neighbourhood: int = 5
    """cells of a side of the squares of the fractions skill score, odd"""

    def __post_init__(self) -> None:
        """A square has a middle."""
        if self.neighbourhood < 1 or self.neighbourhood % 2 == 0:
            raise UsageError(f"neighbourhood={self.neighbourhood} cells have no middle; give an odd number")

        for name, level in self.thresholds:
            if sum(one == name and f"{other:g}" == f"{level:g}" for one, other in self.thresholds) > 1:
                raise UsageError(f"thresholds: {name} {level:g} stands twice, to six digits; results go by these")

    def by_variable(self, names: Sequence[str]) -> dict[str, list[float]]:
        """Thresholds of each of the variables that has some, ascending. Raises `UsageError` for another variable."""
        for name, _ in self.thresholds:
            if name not in names:
                raise UsageError(f"events: there is no variable {name}; there are {', '.join(names)}")
        found = {n: sorted(v for other, v in self.thresholds if other == n) for n in names}
        return {n: levels for n, levels in found.items() if levels}


def event_scores(
    forecast: xr.Dataset,
    truth: xr.Dataset,
    events: Events,
    *,
    frame: tuple[int, int] = (0, 0),
    weights: np.ndarray | None = None,
    baseline: str | None = None,
) -> dict[str, float | None]:
    """Flat results `brier/tp>=1/6h` and `fss/tp>=1/6h`; arguments as of `verify`.

    brier is the fair score of the share of members that reach the threshold, of several members; fss the fractions
    skill score of that share in squares of cells, over all starts. None where a score has no case to count.
    """
    prefix = "" if baseline is None else f"{baseline}."
    results: dict[str, float | None] = {}
    totals: dict[tuple[str, float], list[np.ndarray]] = {}
    for name, level, ens, obs, w, fresh in _cases(forecast, truth, events, frame, weights):
        terms = np.asarray(_of_event(ens, obs, level, w, events.neighbourhood))
        totals.setdefault((name, level), []).append(terms[:, :fresh])
    for (name, level), parts in totals.items():
        brier, error, reference = np.concatenate(parts, 1).mean(1, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = {"brier": brier, "fss": 1 - error / reference}
        if forecast.sizes.get("member", 1) == 1:
            del found["brier"]
        for metric, values in found.items():
            for lead, value in zip(lead_hours(forecast), values, strict=True):
                key = f"{prefix}{metric}/{name}>={level:g}/{lead:g}h"
                results[key] = float(value) if np.isfinite(value) else None
    return results


def _cases(
    forecast: xr.Dataset, truth: xr.Dataset, events: Events, frame: tuple[int, int], weights: np.ndarray | None
) -> Iterator[tuple[str, float, jax.Array, jax.Array, jax.Array, int]]:
    """Name, threshold, members and truth of some starts, weights (y, x), and how many starts are not repeated."""
    levels = events.by_variable([*map(str, forecast.data_vars)])
    seen = dict.fromkeys(levels, 0)
    for name, ens, obs, cells, known in pieces(forecast[list(levels)], truth, frame) if levels else ():
        fresh = min(len(ens), forecast.sizes["start"] - seen[name])
        seen[name] += fresh
        w = np.ones(obs.shape[-2:]) if weights is None else np.asarray(weights)[cells]
        w = jnp.asarray(w if known is None else w * known, jnp.float32)
        for level in levels[name]:
            yield name, level, ens, obs, w, fresh


@partial(jax.jit, static_argnames="width")
def _of_event(ens: jax.Array, obs: jax.Array, level: jax.Array, weights: jax.Array, width: int) -> jax.Array:
    share, event = metrics.exceedance(ens, level, 2), obs >= level
    brier = metrics.brier(ens, obs, level, weights, ens.shape[2] > 1, 2, (-2, -1))
    return jnp.stack([brier, *metrics.fractions(share, event, width, weights, (-2, -1))])


def event_reliability(
    forecast: xr.Dataset,
    truth: xr.Dataset,
    events: Events,
    *,
    frame: tuple[int, int] = (0, 0),
    weights: np.ndarray | None = None,
) -> dict[str, dict[float, metrics.Reliability]]:
    """Reliability of the share of members that reach a threshold, by variable and threshold, over starts and leads."""
    sums: dict[tuple[str, float], np.ndarray] = {}
    for name, level, ens, obs, w, fresh in _cases(forecast, truth, events, frame, weights):
        w = jnp.broadcast_to(w, obs.shape).at[fresh:].set(0)
        one = metrics.reliability(metrics.exceedance(ens, level, 2), obs >= level, w)
        part = np.stack([np.nan_to_num(a) for a in (one.forecast * one.weight, one.observed * one.weight)])
        part = np.concatenate([part, np.asarray(one.weight)[None]])
        sums[name, level] = sums.get((name, level), 0) + part
    found: dict[str, dict[float, metrics.Reliability]] = {}
    for (name, level), (forecasts, came, weight) in sums.items():
        with np.errstate(invalid="ignore"):
            found.setdefault(name, {})[level] = metrics.Reliability(forecasts / weight, came / weight, weight)  # type: ignore[arg-type]
    return found
