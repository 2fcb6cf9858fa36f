"""Plume of one cell: members and truth by lead time."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from genkit_weather.figures import style
from genkit_weather.verification import aligned, lead_hours

MOST = 20  # members drawn one by one


@style.styled
def plume(
    forecast: xr.Dataset,
    truth: xr.Dataset,
    *,
    start: int = 0,
    cell: tuple[int, int] | None = None,
    variables: Sequence[str] | None = None,
) -> Figure:
    """What the forecast said about one cell, members, their mean and central 80 %, and what came true.

    Args:
        forecast: (start, lead, member, y, x).
        truth: (start, lead, y, x).
        start: index of the start in `forecast`.
        cell: (row, column); the middle of the area by default.
        variables: which; all by default.
    """
    row, column = (forecast.sizes["y"] // 2, forecast.sizes["x"] // 2) if cell is None else cell
    here = {"start": start, "y": row, "x": column}
    ens, obs = forecast.isel(here), aligned(truth, forecast).isel(here)
    leads = lead_hours(forecast)
    variables = [str(v) for v in forecast.data_vars] if variables is None else list(variables)
    figure = style.new_figure(1.15 + 1.45 * len(variables))
    axes = figure.subplots(len(variables), 1, squeeze=False, sharex=True)[:, 0]
    count = ens.sizes["member"]
    for axis, variable in zip(axes, variables, strict=True):
        values = ens[variable].transpose("lead", "member").values
        if count >= 5:
            low, high = np.quantile(values, [0.1, 0.9], axis=1)
            axis.fill_between(leads, low, high, color=style.FORECAST, alpha=0.18, linewidth=0)
        if count > 1:
            axis.plot(leads, values[:, :MOST], color=style.FORECAST, linewidth=0.7, alpha=0.45)
        axis.plot(leads, values.mean(axis=1), color=style.FORECAST, linewidth=2)
        axis.plot(leads, obs[variable].values, color=style.TRUTH, linewidth=1.8)
        units = style.unit(forecast[variable])
        axis.set_title(style.with_unit(style.label(forecast[variable], variable), units))
    style.lead_ticks(axes[-1], leads)
    axes[-1].set_xlabel("Lead time [h]")
    handles = [
        Line2D([], [], color=style.TRUTH, linewidth=1.8),
        Line2D([], [], color=style.FORECAST, linewidth=2),
        Line2D([], [], color=style.FORECAST, linewidth=0.7, alpha=0.6),
        Patch(color=style.FORECAST, alpha=0.18, linewidth=0),
    ]
    labels = ["truth", "ensemble mean", "members", "central 80 %"][: 4 if count >= 5 else 3]
    labels = labels if count > 1 else ["truth", "forecast"]
    figure.legend(handles[: len(labels)], labels, loc="outside lower center", ncols=4)
    time = style.when(forecast["start"].values[start])
    title = "Plume of one cell" if count > 1 else "One cell"
    style.heading(figure, title, f"Forecast from {time}, row {row}, column {column}")
    return figure
