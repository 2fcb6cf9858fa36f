"""Forecasts at stations: scores by lead time, time series, maps."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from genkit_weather.figures import style
from genkit_weather.figures.chart import Chart
from genkit_weather.figures.leads import parse
from genkit_weather.figures.maps import colour_scale, colourbar, draw_field, field_colours
from genkit_weather.verification import lead_hours

COLUMNS = {"station_rmse": "RMSE at stations", "station_bias": "Bias", "station_ets": "Equitable threat score"}
MOST = 20  # members drawn one by one


@style.styled
def station_scores(
    results: Mapping[str, float | None],
    observations: xr.Dataset,
    *,
    name: str = "forecast",
    variables: Sequence[str] | None = None,
) -> Figure:
    """RMSE and bias of the forecast and of the baselines, and threat scores of the forecast, by lead time.

    Args:
        results: flat results, `station_rmse/t2m/6h` and `persistence.station_rmse/t2m/6h`.
        observations: (start, lead, station), for names and units.
        name: how the forecast is called.
        variables: which, in this order; all that were observed by default.
    """
    variables = list(map(str, observations.data_vars)) if variables is None else list(variables)
    curves = parse(results)
    figure = style.new_figure(1.3 + 1.75 * len(variables))
    axes = figure.subplots(len(variables), 3, squeeze=False, sharex=True)
    leads, handles = lead_hours(observations), {}
    for row, variable in zip(axes, variables, strict=True):
        field = observations[variable]
        for axis, metric in zip(row[:2], COLUMNS, strict=False):
            for system, curve in curves.get(variable, {}).get(metric, {}).items():
                colour, dashes = style.BASELINES.get(system, (style.OTHERS[0], "-"))
                look = {"color": colour, "linestyle": dashes, "linewidth": 1.4, "label": system}
                if not system:
                    look = {"color": style.FORECAST, "linewidth": 2.2, "marker": "o", "label": name, "zorder": 5}
                handles[look["label"]] = axis.plot(sorted(curve), [curve[k] for k in sorted(curve)], **look)[0]
        row[0].set_ylim(0, 1.05 * row[0].get_ylim()[1])
        row[0].set_ylabel(style.wrapped(style.with_unit(style.label(field, variable), style.unit(field))))
        row[1].axhline(0, color=style.INK, linewidth=0.8)
        _threats(row[2], curves, variable)
    for axis, title in zip(axes[0], COLUMNS.values(), strict=True):
        axis.set_title(title)
    for axis in axes[-1]:
        style.lead_ticks(axis, leads)
        axis.set_xlabel("Lead time [h]")
    known = [name, *style.BASELINES]
    order = sorted(handles, key=lambda k: known.index(k) if k in known else len(known))
    figure.legend([handles[k] for k in order], order, loc="outside lower center", ncols=min(7, len(order)))
    count, stations = observations.attrs["count"], observations.sizes["station"]
    style.heading(figure, "Scores at stations", f"{stations} stations, {count} observations of all variables")
    return figure


def _threats(axis: Axes, curves: Mapping, variable: str) -> None:
    """Threat scores of the forecast, a line for each threshold, darker for the higher ones."""
    found = {}
    for key, metrics in curves.items():
        named, _, level = key.rpartition(">=")
        if named == variable and "" in metrics.get("station_ets", {}):
            found[float(level)] = metrics["station_ets"][""]
    for colour, (level, curve) in zip(style.lead_colours(len(found)), sorted(found.items()), strict=True):
        x = sorted(curve)
        axis.plot(x, [curve[k] for k in x], color=colour, marker="o", markersize=3, label=f"≥ {level:g}")
    if not found:
        axis.set_axis_off()
        return
    axis.axhline(0, color=style.INK, linewidth=0.8)
    axis.set_ylim(min(-0.05, axis.get_ylim()[0]), 1.02)
    axis.legend(loc="lower left", fontsize=7.5, handlelength=1.4, ncols=len(found), columnspacing=0.9)


@style.styled
def station_series(
    forecast: xr.Dataset, observations: xr.Dataset, variable: str, *, start: int = 0, stations: int = 6
) -> Figure:
    """Members, their mean and central 80 %, and what was observed, at some stations by valid time.

    Shown are the stations with most observations, of equal ones those with the largest observed range.

    Args:
        forecast: (start, lead, member, station) of `at_stations`.
        observations: (start, lead, station).
        variable: which variable.
        start: index of the start.
        stations: at most so many.
    """
    ens = forecast[variable].isel(start=start).transpose("lead", "member", "station")
    obs = observations[variable].isel(start=start).transpose("lead", "station").values
    there = np.isfinite(obs)
    reach = np.where(there, obs, -np.inf).max(0) - np.where(there, obs, np.inf).min(0)
    chosen = np.lexsort((-reach, -there.sum(0)))[: min(stations, (there.any(0)).sum() or 1)]
    rows = -(-len(chosen) // 2)
    figure = style.new_figure(1.25 + 1.55 * rows)
    axes = figure.subplots(rows, 2, squeeze=False, sharex=True, sharey=True)
    leads, count = lead_hours(observations), ens.sizes["member"]
    for axis, i in zip(axes.flat, chosen, strict=False):
        values = ens.values[:, :, i]
        if count >= 5:
            low, high = np.quantile(values, [0.1, 0.9], axis=1)
            axis.fill_between(leads, low, high, color=style.FORECAST, alpha=0.18, linewidth=0)
        axis.plot(leads, values[:, :MOST], color=style.FORECAST, linewidth=0.6, alpha=0.4)
        axis.plot(leads, values.mean(axis=1), color=style.FORECAST, linewidth=2)
        axis.plot(leads, obs[:, i], color=style.TRUTH, marker="o", markersize=4, linestyle="none", zorder=5)
        axis.set_title(str(observations["station"].values[i]))
    for axis in axes.flat[len(chosen) :]:
        axis.set_visible(False)
    style.lead_ticks(axes[0, 0], leads)
    for axis in axes[-1]:
        axis.set_xlabel("Lead time [h]")
    name, units = style.label(forecast[variable], variable), style.unit(forecast[variable])
    for axis in axes[:, 0]:
        axis.set_ylabel(units)
    handles = [
        Line2D([], [], color=style.TRUTH, marker="o", markersize=4, linestyle="none"),
        Line2D([], [], color=style.FORECAST, linewidth=2),
        Line2D([], [], color=style.FORECAST, linewidth=0.7, alpha=0.6),
    ]
    labels = ["observed", "ensemble mean", "members"][: 3 if count > 1 else 2]
    figure.legend(handles[: len(labels)], labels, loc="outside lower center", ncols=3)
    begin = style.when(observations["start"].values[start])
    style.heading(figure, style.with_unit(f"{name} at stations", units), f"Forecast from {begin}")
    return figure


@style.styled
def station_map(
    field: xr.Dataset,
    forecast: xr.Dataset,
    observations: xr.Dataset,
    variable: str,
    *,
    start: int = 0,
    leads: Sequence[float] | None = None,
    frame: tuple[int, int] = (0, 0),
) -> Figure:
    """The ensemble mean with the observations on it in the same colours, and its errors at the stations below.

    Args:
        field: the forecast on its grid, (start, lead, member, y, x).
        forecast: the same at the stations.
        observations: (start, lead, station).
        variable: which variable; one of the model's own.
        start: index of the start.
        leads: hours; four spread over the forecast by default.
        frame: cells (fy, fx).
    """
    chosen = style.chosen(leads, lead_hours(observations), 4)
    rows = np.searchsorted(lead_hours(observations), chosen)
    grid = field[variable].isel(start=start, lead=rows)
    grid = (grid.mean("member") if "member" in grid.dims else grid).transpose("lead", "y", "x")
    error = forecast[variable].mean("member") - observations[variable]
    obs, error = (
        a.isel(start=start, lead=rows).transpose("lead", "station").values for a in (observations[variable], error)
    )
    chart = Chart.of(field)
    x, y = chart.position(observations["row"].values, observations["column"].values)
    values = chart.turned(grid.values)
    figure = style.new_figure(1.5 + 2 * 1.9 * min(max(chart.aspect, 0.3), 1.2))
    axes = figure.subplots(2, len(chosen), squeeze=False, sharex=True, sharey=True)
    colours, norm = field_colours(np.concatenate([values.ravel(), obs[np.isfinite(obs)]]))
    bound = float(np.nanmax(np.abs(error), initial=1e-6))
    off, off_norm = colour_scale("PuOr_r", -bound, bound)
    for i, (upper, lower) in enumerate(axes.T):
        draw_field(upper, values[i], colours, norm, chart.extent)
        for axis, shown, look in ((upper, obs[i], (colours, norm)), (lower, error[i], (off, off_norm))):
            there = np.isfinite(shown)
            dots = {"cmap": look[0], "norm": look[1], "s": 34, "edgecolors": style.INK, "linewidths": 0.7, "zorder": 5}
            axis.scatter(x[there], y[there], c=shown[there], **dots)
    for axis in axes.flat:
        chart.dress(axis, frame)
        axis.label_outer()
    name, units = style.label(forecast[variable], variable), style.unit(forecast[variable])
    axes[0, 0].set_ylabel("Ensemble mean\nand observations")
    axes[1, 0].set_ylabel("Mean – observed")
    colourbar(figure, colours, norm, axes[:1], style.wrapped(style.with_unit(name, units)))
    colourbar(figure, off, off_norm, axes[1:], style.with_unit("Error", units))
    begin = np.datetime64(observations["start"].values[start], "s")
    for axis, lead in zip(axes[0], chosen, strict=True):
        valid = begin + np.timedelta64(round(lead * 3600), "s")
        axis.set_title(f"{style.hours(lead)}\n{style.when(valid)}", fontsize=8.5, loc="center", pad=3)
    style.heading(figure, name, f"Forecast from {style.when(begin)}; dots are stations")
    return figure
