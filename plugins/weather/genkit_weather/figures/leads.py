"""Scores by lead time against the baselines."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from genkit_weather.figures import style

KEY = re.compile(r"^(?:(?P<system>[\w-]+)\.)?(?P<metric>\w+)/(?P<variable>.+)/(?P<lead>[\d.]+)h$")
Curves = dict[str, dict[str, dict[str, dict[float, float]]]]  # variable, metric, system, lead
ENSEMBLE = {"rmse": "RMSE of the ensemble mean", "crps": "CRPS (fair)", "ssr": "Spread / skill"}
SINGLE = {"rmse": "RMSE", "crps": "Mean absolute error; CRPS of climatology"}  # the CRPS of one member is its error


@style.styled
def scores_by_lead(
    results: Mapping[str, float | None],
    *,
    data: xr.Dataset | None = None,
    name: str = "forecast",
    variables: Sequence[str] | None = None,
) -> Figure:
    """RMSE, CRPS and spread/skill (columns) by lead time, a row for each variable.

    Lower is better in the first two, 1 is right in the third, which a forecast without members does not have.

    Args:
        results: flat results, `rmse/z_up/6h` of the forecast and `persistence.rmse/z_up/6h` of the baselines.
        data: any Dataset with the variables, for their long names and units.
        name: how the forecast is called.
        variables: which, in this order; all by default.
    """
    curves = parse(results)
    variables = list(curves) if variables is None else list(variables)
    figure = style.new_figure(1.15 + 1.62 * len(variables))
    titles = ENSEMBLE if any("" in curves[v].get("ssr", {}) for v in variables) else SINGLE
    axes = figure.subplots(len(variables), len(titles), squeeze=False, sharex=True)
    handles: dict[str, Line2D] = {}
    for row, variable in zip(axes, variables, strict=True):
        field = None if data is None else data[variable]
        for axis, metric in zip(row, titles, strict=True):
            _panel(axis, curves[variable].get(metric, {}), metric, name)
            for line in axis.get_lines():
                handles.setdefault(str(line.get_label()), line)
        row[0].set_ylabel(style.wrapped(style.with_unit(style.label(field, variable), style.unit(field))))
    for axis, title in zip(axes[0], titles.values(), strict=True):
        axis.set_title(title)
    for axis in axes[-1]:
        axis.set_xlabel("Lead time [h]")
    handles = {k: v for k, v in handles.items() if not k.startswith("_")}
    known = [name, *style.BASELINES]
    order = sorted(handles, key=lambda k: known.index(k) if k in known else len(known))
    figure.legend([handles[k] for k in order], order, loc="outside lower center", ncols=min(7, len(order)))
    style.heading(figure, "Scores by lead time")
    return figure


def parse(results: Mapping[str, float | None]) -> Curves:
    """Flat results as curves[variable][metric][system][lead in hours]; the forecast is the system ''."""
    curves: Curves = {}
    for key, value in results.items():
        found = KEY.match(key)
        if found and value is not None:
            by_metric = curves.setdefault(found["variable"], {})
            by_lead = by_metric.setdefault(found["metric"], {}).setdefault(found["system"] or "", {})
            by_lead[float(found["lead"])] = value
    return curves


def _panel(axis: Axes, systems: Mapping[str, Mapping[float, float]], metric: str, name: str) -> None:
    extra = iter(style.OTHERS)
    leads = np.array(sorted({lead for curve in systems.values() for lead in curve}) or [1.0])
    for system, curve in systems.items():
        x = sorted(curve)
        y = [curve[lead] for lead in x]
        if system:
            colour, dashes = style.BASELINES.get(system) or (next(extra, style.GREY), "-")
            axis.plot(x, y, color=colour, linestyle=dashes, linewidth=1.4, label=system)
        else:
            axis.plot(x, y, color=style.FORECAST, linewidth=2.2, marker="o", label=name, zorder=5)
    style.lead_ticks(axis, leads)
    if metric == "ssr":
        axis.axhline(1, color=style.INK, linewidth=0.8)
        low, high = axis.get_ylim()
        axis.set_ylim(max(0.0, min(0.5, low)), max(1.5, high))
        return
    # Far worse than climatology is all that matters of a baseline: the forecast keeps the room.
    top = axis.get_ylim()[1]
    if "climatology" in systems:
        own = max(systems.get("", {0: 0.0}).values())
        top = min(top, max(1.25 * max(systems["climatology"].values()), 1.1 * own))
    axis.set_ylim(0, top)
