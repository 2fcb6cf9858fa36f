"""Maps of an ensemble forecast beside the truth."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, Colormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from genkit_weather.figures import style
from genkit_weather.figures.chart import Chart, Extent
from genkit_weather.verification import aligned, lead_hours

Extend = Literal["both", "max"]


class Band(NamedTuple):
    """Rows of panels that share a colour scale."""

    rows: list[tuple[str, np.ndarray]]  # title and fields (lead, y, x)
    colours: Colormap
    norm: BoundaryNorm
    label: str
    isolines: bool


@style.styled
def forecast_maps(
    forecast: xr.Dataset,
    truth: xr.Dataset | None,
    variable: str,
    *,
    analysis: xr.Dataset | None = None,
    start: int = 0,
    leads: Sequence[float] | None = None,
    members: int = 3,
    frame: tuple[int, int] = (0, 0),
) -> Figure:
    """Truth, ensemble mean, members, error of the mean and spread (rows) at some leads (columns) of one forecast.

    All fields share one colour scale; error and spread have their own. The rectangle parts the frame, which is given,
    from the interior, which is predicted.

    Args:
        forecast: (start, lead, member, y, x).
        truth: (start, lead, y, x); None where it is not known.
        variable: which variable.
        analysis: (start, y, x) from which the forecast began, a first column at +0 h.
        start: index of the start in `forecast`.
        leads: hours; four spread over the forecast by default.
        members: number of members shown.
        frame: cells (fy, fx).
    """
    chart = Chart.of(forecast)
    ens = forecast.assign_coords(lead=lead_hours(forecast))[variable].isel(start=start)
    chosen = style.chosen(leads, ens["lead"].values, 4)
    fields = chart.turned(ens.sel(lead=chosen).transpose("lead", "member", "y", "x").values)
    true = begin = None
    if truth is not None:
        obs = aligned(truth, forecast)[variable].isel(start=start).sel(lead=chosen)
        true = chart.turned(obs.transpose("lead", "y", "x").values)
    if analysis is not None:
        begin = chart.turned(analysis[variable].isel(start=start).transpose("y", "x").values)
    name, units = style.label(forecast[variable], variable), style.unit(forecast[variable])
    bands = _bands(fields, true, begin, members, frame, style.with_unit(name, units), units)

    first, titles = int(begin is not None), [title for band in bands for title, _ in band.rows]
    columns = len(chosen) + first
    panel = min(2.0, (style.WIDTH - 1.9) / columns)
    width = min(style.WIDTH, 1.9 + max(2, columns) * panel)
    figure = style.new_figure(max(3.0, len(titles) * (panel * chart.aspect * 1.02 + 0.03) + 1.15), width)
    axes = figure.subplots(len(titles), columns, squeeze=False)  # each has its limits: to share them costs a third
    done = 0
    for band in bands:
        panels = axes[done : done + len(band.rows)]
        for row, (title, values) in zip(panels[:, first:], band.rows, strict=True):
            for axis, field in zip(row, values, strict=True):
                draw_field(axis, field, band.colours, band.norm, chart.extent, band.isolines)
            row[0].set_ylabel(title)
        colourbar(figure, band.colours, band.norm, panels, band.label)
        done += len(band.rows)
    if begin is not None:
        draw_field(axes[0, 0], begin, bands[0].colours, bands[0].norm, chart.extent)
        axes[0, 0].set_ylabel("Analysis")
        for axis in axes[1:, 0]:
            axis.set_axis_off()
    for i, row in enumerate(axes):
        shown = row[first if i else 0 :]
        for axis in shown:
            chart.dress(axis, frame)
            alone = i == 0 and axis is row[0] and begin is not None  # nothing is below the analysis
            axis.tick_params(labelbottom=alone or i == len(axes) - 1, labelleft=axis is shown[0])
    time = np.datetime64(forecast["start"].values[start], "s")
    for axis, lead in zip(axes[0], [0.0] * first + [*chosen], strict=True):
        valid = time + np.timedelta64(round(lead * 3600), "s")
        axis.set_title(f"{style.hours(lead)}\n{style.when(valid)}", fontsize=8.5, loc="center", pad=3)
    members_text = f", {fields.shape[1]} members" if fields.shape[1] > 1 else ""
    style.heading(figure, name, f"Forecast from {style.when(time)}{members_text}")
    return figure


def _bands(
    ens: np.ndarray,
    truth: np.ndarray | None,
    analysis: np.ndarray | None,
    members: int,
    frame: tuple[int, int],
    label: str,
    units: str,
) -> list[Band]:
    """The rows of a figure of forecasts (lead, member, y, x) with their colours."""
    mean, several = ens.mean(1), ens.shape[1] > 1
    rows = [("Ensemble mean" if several else "Forecast", mean)]
    if truth is not None:
        rows.insert(0, ("Truth", truth))
    if several:
        rows += [(f"Member {m + 1}", ens[:, m]) for m in range(min(members, ens.shape[1]))]
    seen = [field.ravel() for _, field in rows] + ([] if analysis is None else [analysis.ravel()])
    bands = [Band(rows, *field_colours(np.concatenate(seen)), label, True)]
    given = np.ones(mean.shape[1:], bool)  # the frame has neither error nor spread of the model's
    given[frame[0] : mean.shape[1] - frame[0], frame[1] : mean.shape[2] - frame[1]] = False
    if truth is not None:
        error = np.where(given, np.nan, mean - truth)
        bound = float(np.nanmax(np.abs(error), initial=1e-12))
        title, label = "Mean – truth" if several else "Forecast –\ntruth", style.with_unit("Error", units)
        bands.append(Band([(title, error)], *colour_scale("PuOr_r", -bound, bound), label, False))
    if several:
        spread = np.where(given, np.nan, ens.std(1, ddof=1))
        colours, norm = colour_scale("YlOrBr", 0.0, float(np.nanmax(spread)), "max")
        bands.append(Band([("Spread", spread)], colours, norm, style.with_unit("Spread", units), False))
    return bands


def field_colours(values: np.ndarray) -> tuple[Colormap, BoundaryNorm]:
    """Colours of a field: diverging about 0 where it has both signs, else sequential; round levels."""
    low, high = np.nanquantile(values[np.isfinite(values)], [0.002, 0.998])
    if low < 0 < high and min(-low, high) > 0.2 * max(-low, high):
        bound = max(-low, high)
        return colour_scale("RdBu_r", -bound, bound)
    return colour_scale("viridis", float(low), float(high))


def colour_scale(name: str, low: float, high: float, extend: Extend = "both") -> tuple[Colormap, BoundaryNorm]:
    """Colours with round levels between two values."""
    levels = MaxNLocator(nbins=20, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high if high > low else low + 1)
    colours = matplotlib.colormaps[name]
    return colours, BoundaryNorm(levels, colours.N, extend=extend)


def draw_field(
    axis: Axes,
    values: np.ndarray,
    colours: Colormap,
    norm: BoundaryNorm,
    extent: Extent,
    isolines: bool = True,
) -> None:
    """Cells in colour, so that grid-scale noise shows, with isolines as on a weather chart."""
    axis.imshow(values, cmap=colours, norm=norm, extent=extent, origin="lower", interpolation="nearest")
    if isolines and min(values.shape) > 1:
        lines = axis.contour(values, _marks(norm, 11), extent=extent, colors=style.INK, linewidths=0.45)
        lines.set(alpha=0.55, linestyle="solid")


def _marks(norm: BoundaryNorm, most: int) -> np.ndarray:
    """At most `most` of the levels, at round numbers: for labels and isolines."""
    levels = np.asarray(norm.boundaries)
    count = np.rint(levels / (levels[1] - levels[0])).astype(int)
    return next(levels[count % k == 0] for k in (1, 2, 4, 5, 10, 20) if (count % k == 0).sum() <= most)


def colourbar(figure: Figure, colours: Colormap, norm: BoundaryNorm, axes: np.ndarray, text: str) -> None:
    """A colour bar for some rows of panels."""
    bar = figure.colorbar(
        ScalarMappable(norm, colours),
        ax=list(axes.flat),
        aspect=11 * len(axes),
        fraction=0.04,
        pad=0.015,
        shrink=0.92,
        ticks=_marks(norm, 11 if len(axes) > 1 else 6),
    )
    bar.set_label(text)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(length=2)
    bar.ax.minorticks_off()
