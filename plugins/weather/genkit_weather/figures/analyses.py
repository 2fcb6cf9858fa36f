"""Figures of a cycle of analyses."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from genkit_weather.figures import style
from genkit_weather.figures.maps import colour_scale, colourbar, draw_field, field_colours

HUES = (
    "#8c8c8c",
    "#d55e00",
    "#009e73",
    "#e69f00",
    "#56b4e9",
    "#cc79a7",
    "#7b3294",
    style.FORECAST,
    "#a6761d",
    "#1b7837",
)


@style.styled
def analysis_maps(fields: Mapping[str, np.ndarray], name: str, units: str, place: np.ndarray, note: str = "") -> Figure:
    """Truth, background, analysis, increment and spread (h, w) of one variable at one time, with the stations.

    Args:
        fields: by these names; rows run downwards as in the data.
        name: of the variable.
        units: of it.
        place: (S, 2) rows and columns of the stations.
        note: under the title.
    """
    states = [n for n in fields if n not in ("increment", "spread")]
    figure = style.new_figure(3.1)
    axes = figure.subplots(1, len(fields), squeeze=False)
    h, w = next(iter(fields.values())).shape
    extent = (0.0, float(w), 0.0, float(h))
    whole = field_colours(np.concatenate([fields[n].ravel() for n in states]))
    for axis, (title, field) in zip(axes[0], fields.items(), strict=True):
        colours, norm = whole
        if title == "increment":
            bound = float(np.abs(field).max()) or 1e-6
            colours, norm = colour_scale("PuOr_r", -bound, bound)
        elif title == "spread":
            colours, norm = colour_scale("viridis", 0.0, float(field.max()) or 1e-6, "max")
        draw_field(axis, field, colours, norm, extent)
        axis.scatter(place[:, 1] + 0.5, place[:, 0] + 0.5, s=9, color=style.INK, linewidths=0)
        axis.set(xlim=extent[:2], ylim=extent[2:], aspect="equal", xticks=[], yticks=[])
        axis.set_title(title, fontsize=8.5, loc="center")
        if title in ("increment", "spread") or title == states[-1]:
            colourbar(figure, colours, norm, np.array([[axis]]), style.with_unit(title, units))
    style.heading(figure, style.with_unit(name, units), note)
    return figure


@style.styled
def errors_by_cycle(
    errors: Mapping[str, np.ndarray], names: Sequence[str], units: Sequence[str], hours: float
) -> Figure:
    """RMSE (T, V) of each method by time, a panel a variable."""
    count = len(names)
    columns = min(3, count)
    rows = -(-count // columns)
    figure = style.new_figure(1.0 + 1.8 * rows)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    for v, axis in enumerate(axes.flat[:count]):
        for hue, (method, values) in zip(HUES, errors.items(), strict=False):
            axis.plot(hours * np.arange(1, len(values) + 1), values[:, v], color=hue, linewidth=1.4, label=method)
        axis.set_title(style.with_unit(names[v], units[v]))
        axis.set_ylim(bottom=0)
        axis.set_xlabel("Time [h]")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    style.heading(figure, "Error of the mean analysis", "Root mean square over the interior")
    return figure


@style.styled
def analysis_ranks(counts: Mapping[str, np.ndarray], names: Sequence[str]) -> Figure:
    """Frequency of the truth's rank relative to uniform, (V, M + 1) counts of each method; methods in rows."""
    figure = style.new_figure(0.9 + 1.0 * len(counts))
    axes = figure.subplots(len(counts), len(names), squeeze=False, sharex=True)
    for row, (method, table) in zip(axes, counts.items(), strict=True):
        for axis, n in zip(row, table, strict=True):
            axis.bar(np.arange(n.size), n * n.size / n.sum(), width=0.86, color=style.FORECAST)
            axis.axhline(1, color=style.INK, linewidth=0.8)
            axis.grid(False)
        row[0].set_ylabel(style.wrapped(method, 12))
    for axis, name in zip(axes[0], names, strict=True):
        axis.set_title(name, loc="center")
    style.heading(figure, "Rank of the truth among the members", "Frequency relative to a flat histogram")
    return figure


@style.styled
def innovations(departures: Mapping[str, np.ndarray]) -> Figure:
    """Departures of observations from the background over their expected size, beside the standard normal law."""
    figure = style.new_figure(2.6)
    axes = figure.subplots(1, len(departures), squeeze=False, sharey=True)
    grid = np.linspace(-5, 5, 41)
    for axis, (method, values) in zip(axes[0], departures.items(), strict=True):
        axis.hist(np.clip(values, -5, 5), bins=grid.tolist(), density=True, color=style.FORECAST, alpha=0.6)
        axis.plot(grid, np.exp(-0.5 * grid**2) / np.sqrt(2 * np.pi), color=style.INK, linewidth=1)
        axis.set_title(f"{method}, χ² {np.square(values).mean():.2f}", fontsize=8.5)
    style.heading(figure, "Innovations", "Observation minus background, in units of the expected standard deviation")
    return figure
