"""How the leads of a block hang together: the size of a member's steps, and what neighbouring leads share."""

from __future__ import annotations

import numpy as np
import xarray as xr

from genkit_weather.verification import aligned


def step_ratio(forecast: xr.Dataset, truth: xr.Dataset, analysis: xr.Dataset) -> dict[str, float]:
    """dX by variable: mean |x(k+1) - x(k)| of the members over the same of the truth; 1 is realistic.

    Over starts, cells and the steps between the leads of `forecast` (start, lead, member, y, x), the first from
    `analysis` (start, y, x). Andrae et al. 2025, arXiv 2410.05431.
    """
    truth = aligned(truth, forecast)
    return {
        str(name): _mean_step(forecast[name], analysis[name]) / _mean_step(truth[name], analysis[name])
        for name in forecast.data_vars
    }


def _mean_step(field: xr.DataArray, first: xr.DataArray) -> float:
    dims = [d for d in ("start", "lead", "member", "y", "x") if d in field.dims]
    values = field.transpose(*dims).values.astype(np.float64)
    begin = first.transpose("start", "y", "x").values.astype(np.float64)
    begin = begin[:, None, None] if "member" in dims else begin[:, None]
    return float(
        np.abs(np.diff(np.concatenate([np.broadcast_to(begin, values[:, :1].shape), values], 1), axis=1)).mean()
    )


def lead_correlation(forecast: xr.Dataset) -> dict[str, float]:
    """By variable: correlation of a member's departure from the mean at one lead with that at the next.

    Over starts, members and cells, averaged over pairs of neighbouring leads: 1 for members that keep their place.
    """
    results = {}
    for name in map(str, forecast.data_vars):
        values = forecast[name].transpose("lead", "start", "member", "y", "x").values.astype(np.float64)
        away = (values - values.mean(2, keepdims=True)).reshape(len(values), -1)
        power = np.sqrt((away**2).sum(1))
        results[name] = float(((away[1:] * away[:-1]).sum(1) / (power[1:] * power[:-1])).mean())
    return results
