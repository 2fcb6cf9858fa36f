"""Plume of one cell: members and truth by lead time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from genkit_weather.figures import style
from genkit_weather.figures.spot import spot
from genkit_weather.verification import aligned, lead_hours

MOST = 20  # members drawn one by one


@style.styled
def plume(
    forecast: xr.Dataset,
    truth: xr.Dataset | None,
    *,
    analysis: xr.Dataset | None = None,
    start: int = 0,
    place: Sequence[str] = (),
    stations: Path | None = None,
    variables: Sequence[str] | None = None,
) -> Figure:
    """What the forecast said about one cell, members, their mean and central 80 %, and what came true.

    Args:
        forecast: (start, lead, member, y, x).
        truth: (start, lead, y, x); None where it is not known.
        analysis: (start, y, x) from which the forecast began: what is known at +0 h.
        start: index of the start in `forecast`.
        place: latitude and longitude, or a name, see `spot`; the middle of the area by default.
        stations: file of stations, for their names.
        variables: which; all by default.
    """
    (row, column), where = spot(forecast, place, stations)
    here = {"start": start, "y": row, "x": column}
    ens = forecast.isel(here)
    obs = None if truth is None else aligned(truth, forecast).isel(here)
    begin = None if analysis is None else analysis.isel(here)
    leads = np.concatenate([[] if begin is None else [0.0], lead_hours(forecast)])
    variables = [str(v) for v in forecast.data_vars] if variables is None else list(variables)
    figure = style.new_figure(1.15 + 1.45 * len(variables))
    axes = figure.subplots(len(variables), 1, squeeze=False, sharex=True)[:, 0]
    count = ens.sizes["member"]
    for axis, variable in zip(axes, variables, strict=True):
        values = ens[variable].transpose("lead", "member").values
        known = None if obs is None else obs[variable].values
        if begin is not None:
            now = float(begin[variable])
            values = np.concatenate([np.full((1, count), now), values])
            known = None if known is None else np.concatenate([[now], known])
        if count >= 5:
            low, high = np.quantile(values, [0.1, 0.9], axis=1)
            axis.fill_between(leads, low, high, color=style.FORECAST, alpha=0.18, linewidth=0)
        if count > 1:
            axis.plot(leads, values[:, :MOST], color=style.FORECAST, linewidth=0.7, alpha=0.45)
        axis.plot(leads, values.mean(axis=1), color=style.FORECAST, linewidth=2)
        if known is not None:
            axis.plot(leads, known, color=style.TRUTH, linewidth=1.8)
        units = style.unit(forecast[variable])
        axis.set_title(style.with_unit(style.label(forecast[variable], variable), units))
    style.lead_ticks(axes[-1], leads)
    axes[-1].set_xlabel("Lead time [h]")
    lines = {
        "truth": Line2D([], [], color=style.TRUTH, linewidth=1.8),
        "ensemble mean" if count > 1 else "forecast": Line2D([], [], color=style.FORECAST, linewidth=2),
        "members": Line2D([], [], color=style.FORECAST, linewidth=0.7, alpha=0.6),
        "central 80 %": Patch(color=style.FORECAST, alpha=0.18, linewidth=0),
    }
    left_out = {"truth"} if truth is None else set()
    left_out |= {"members", "central 80 %"} if count == 1 else {"central 80 %"} if count < 5 else set()
    lines = {label: line for label, line in lines.items() if label not in left_out}
    figure.legend(list(lines.values()), list(lines), loc="outside lower center", ncols=4)
    time = style.when(forecast["start"].values[start])
    title = "Plume of one cell" if count > 1 else "One cell"
    style.heading(figure, title, f"Forecast from {time}, {where}")
    return figure
