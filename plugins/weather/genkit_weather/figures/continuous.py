"""Forecasts that are continuous in lead time: their members under three noises, their steps, models compared."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from genkit_weather.figures import style
from genkit_weather.figures.leads import parse
from genkit_weather.verification import aligned, lead_hours

TITLES = {"shared": "One noise", "ou": "Ornstein-Uhlenbeck noise", "independent": "Independent noise"}
COLOURS = {"shared": style.FORECAST, "ou": "#009e73", "independent": "#d55e00"}
MOST = 8  # members drawn


@style.styled
def noises(
    blocks: Mapping[str, xr.Dataset],
    truth: xr.Dataset,
    analysis: xr.Dataset,
    *,
    start: int = 0,
    cell: tuple[int, int] | None = None,
) -> Figure:
    """Members of one cell from the analysis to the end of a block: variables in rows, noises in columns.

    Args:
        blocks: (start, lead, member, y, x) by noise.
        truth: (start, lead, y, x).
        analysis: (start, y, x), the state from which they start.
        start: index of the start.
        cell: (row, column); the middle by default.
    """
    first = next(iter(blocks.values()))
    row, column = (first.sizes["y"] // 2, first.sizes["x"] // 2) if cell is None else cell
    here, variables = {"start": start, "y": row, "x": column}, [str(v) for v in first.data_vars]
    leads = np.concatenate([[0], lead_hours(first)])
    figure = style.new_figure(1.15 + 1.4 * len(variables))
    axes = figure.subplots(len(variables), len(blocks), squeeze=False, sharex=True, sharey="row")
    for column_axes, (noise, block) in zip(axes.T, blocks.items(), strict=True):
        column_axes[0].set_title(TITLES.get(noise, noise), loc="center")
        ens, obs, begin = block.isel(here), aligned(truth, block).isel(here), analysis.isel(here)
        for axis, variable in zip(column_axes, variables, strict=True):
            now = float(begin[variable])
            for member in ens[variable].transpose("member", "lead").values[:MOST]:
                axis.plot(
                    leads, [now, *member], color=COLOURS.get(noise, style.GREY), linewidth=1, marker=".", alpha=0.8
                )
            axis.plot(leads, [now, *obs[variable].values], color=style.TRUTH, linewidth=1.8)
    for axis, variable in zip(axes[:, 0], variables, strict=True):
        name = style.label(first[variable], variable)
        axis.set_ylabel(style.wrapped(style.with_unit(name, style.unit(first[variable])), 18))
    for axis in axes[-1]:
        style.lead_ticks(axis, leads)
        axis.set_xlabel("Lead time [h]")
    handles = [
        Line2D([], [], color=style.TRUTH, linewidth=1.8),
        Line2D([], [], color=style.GREY, linewidth=1, marker="."),
    ]
    figure.legend(handles, ["truth", "members"], loc="outside lower center", ncols=2)
    when = style.when(first["start"].values[start])
    style.heading(figure, "Members under three noises", f"Forecast from {when}, row {row}, column {column}")
    return figure


@style.styled
def coherence(results: Mapping[str, float | None], noises: Sequence[str], *, data: xr.Dataset | None = None) -> Figure:
    """Bars by variable: `dx/<noise>/<variable>` and `correlation/<noise>/<variable>` of each noise."""
    variables = list(dict.fromkeys(key.split("/", 2)[2] for key in results if key.startswith(f"dx/{noises[0]}/")))
    figure = style.new_figure(3.4)
    axes = figure.subplots(1, 2)
    panels = (("dx", "Step of a member over that of the truth"), ("correlation", "Correlation with the next lead"))
    place, width = np.arange(len(variables)), 0.8 / len(noises)
    for axis, (key, title) in zip(axes, panels, strict=True):
        for i, noise in enumerate(noises):
            heights = [results.get(f"{key}/{noise}/{name}") or np.nan for name in variables]
            at = place + (i - (len(noises) - 1) / 2) * width
            axis.bar(at, heights, 0.92 * width, color=COLOURS.get(noise, style.GREY), label=TITLES.get(noise, noise))
        axis.axhline(1, color=style.INK, linewidth=0.8)
        axis.set_title(title)
        names = [style.label(None if data is None else data[name], name) for name in variables]
        axis.set_xticks(place, [style.wrapped(name, 13) for name in names], fontsize=7.5)
        axis.grid(False, axis="x")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(noises))
    style.heading(figure, "How leads hang together")
    return figure


@style.styled
def systems_by_lead(
    results: Mapping[str, float | None],
    names: Mapping[str, str],
    costs: Mapping[str, float | None],
    *,
    data: xr.Dataset,
    variables: Sequence[str],
) -> Figure:
    """RMSE of the ensemble mean by lead of several models, a panel a variable, and their network calls a day.

    Args:
        results: flat results.
        names: title of each model by its prefix in the results, "" for the forecast itself.
        costs: calls by title.
        data: any Dataset with the variables.
        variables: which.
    """
    curves = parse(results)
    count = len(variables) + 1
    rows = -(-count // 3)
    figure = style.new_figure(0.9 + 2.1 * rows)
    axes = list(figure.subplots(rows, 3, squeeze=False).flat)
    palette = (style.FORECAST, "#d55e00", "#009e73", "#7b3294", "#a6761d")
    colours = dict(zip(names, palette, strict=False))
    for axis, variable in zip(axes, variables, strict=False):
        systems = curves[variable]["rmse"]
        for name, title in names.items():
            x = sorted(systems.get(name, {}))
            y = [systems[name][lead] for lead in x]
            axis.plot(x, y, color=colours[name], label=title, marker="o", markersize=3, zorder=5 if name == "" else 3)
        style.lead_ticks(axis, np.array(sorted(systems[""])))
        axis.set_ylim(0)
        field = data[variable]
        axis.set_title(style.with_unit(style.label(field, variable), style.unit(field)))
        axis.set_xlabel("Lead time [h]")
    axis = axes[len(variables)]
    axis.bar(range(len(names)), [costs[t] or 0 for t in names.values()], 0.7, color=[colours[n] for n in names])
    axis.set_xticks(range(len(names)), names.values())
    axis.set_title("Calls in sequence a day")
    axis.grid(False, axis="x")
    for axis in axes[count:]:
        axis.set_visible(False)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(names))
    style.heading(figure, "RMSE of the ensemble mean")
    return figure
