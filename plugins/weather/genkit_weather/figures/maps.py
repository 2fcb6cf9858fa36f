"""Maps of an ensemble forecast beside the truth."""

from collections.abc import Sequence
from typing import Literal

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, Colormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from genkit_weather.figures import style
from genkit_weather.verification import aligned, lead_hours

Extent = tuple[float, float, float, float]  # left, right, bottom, top
Extend = Literal["both", "max"]


@style.styled
def forecast_maps(
    forecast: xr.Dataset,
    truth: xr.Dataset,
    variable: str,
    *,
    start: int = 0,
    leads: Sequence[float] | None = None,
    members: int = 3,
    frame: tuple[int, int] = (0, 0),
) -> Figure:
    """Truth, ensemble mean, members and spread (rows) at some lead times (columns) of one forecast.

    All fields share one colour scale, the spread has its own. The rectangle parts the frame, which is given,
    from the interior, which is predicted.

    Args:
        forecast: (start, lead, member, y, x).
        truth: (start, lead, y, x).
        variable: which variable.
        start: index of the start in `forecast`.
        leads: hours; four spread over the forecast by default.
        members: number of members shown.
        frame: cells (fy, fx).
    """
    ens = forecast.assign_coords(lead=lead_hours(forecast)).isel(start=start)[variable]
    obs = aligned(truth, forecast).isel(start=start)[variable]
    if north_first(forecast):
        ens, obs = ens.isel(y=slice(None, None, -1)), obs.isel(y=slice(None, None, -1))
    chosen = style.chosen(leads, ens["lead"].values, 4)
    ens = ens.sel(lead=chosen).transpose("lead", "member", "y", "x")
    obs = obs.sel(lead=chosen).transpose("lead", "y", "x")
    shown = min(members, ens.sizes["member"])
    rows = [("Truth", obs.values), ("Ensemble mean", ens.mean("member").values)]
    rows += [(f"Member {m + 1}", ens.values[:, m]) for m in range(shown)]
    if ens.sizes["member"] == 1:
        rows = [rows[0], ("Forecast", ens.values[:, 0])]
    fields = np.stack([field for _, field in rows])
    colours, norm = field_colours(fields)

    has_spread = ens.sizes["member"] > 1
    count = len(rows) + has_spread
    aspect = obs.sizes["y"] / obs.sizes["x"]
    panel = min(2.0, (style.WIDTH - 1.6) / len(chosen))
    width = min(style.WIDTH, 1.6 + max(2, len(chosen)) * panel)
    figure = style.new_figure(max(3.0, count * panel * aspect * 1.02 + 0.95), width)
    axes = figure.subplots(count, len(chosen), squeeze=False, sharex=True, sharey=True)
    extent, step = extent_of(obs)
    for row, (title, field) in zip(axes, rows, strict=False):
        for axis, values in zip(row, field, strict=True):
            draw_field(axis, values, colours, norm, extent)
        row[0].set_ylabel(title)
    units = style.unit(forecast[variable])
    name = style.label(forecast[variable], variable)
    colourbar(figure, colours, norm, axes[: len(rows)], style.with_unit(name, units))
    if has_spread:
        deviation = ens.std("member", ddof=1).values
        inner = np.s_[:, frame[0] : deviation.shape[1] - frame[0], frame[1] : deviation.shape[2] - frame[1]]
        colours, norm = colour_scale("YlOrBr", 0.0, float(np.nanmax(deviation[inner])), "max")
        shown = np.full_like(deviation, np.nan)  # the frame is given and has no spread
        shown[inner] = deviation[inner]
        for axis, values in zip(axes[-1], shown, strict=True):
            draw_field(axis, values, colours, norm, extent, isolines=False)
        axes[-1][0].set_ylabel("Spread")
        colourbar(figure, colours, norm, axes[-1:], style.with_unit("Spread", units))
    for axis in axes.flat:
        undress(axis, extent, frame, step)
    time = np.datetime64(forecast["start"].values[start], "s")
    for axis, lead in zip(axes[0], chosen, strict=True):
        valid = time + np.timedelta64(round(lead * 3600), "s")
        axis.set_title(f"{style.hours(lead)}\n{style.when(valid)}", fontsize=8.5, loc="center", pad=3)
    members_text = f", {ens.sizes['member']} members" if has_spread else ""
    style.heading(figure, name, f"Forecast from {style.when(time)}{members_text}")
    return figure


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


def north_first(data: xr.Dataset) -> bool:
    """Whether the first row is the northernmost one."""
    for name in ("latitude", "y"):
        if name in data.coords and data.sizes["y"] > 1:
            column = data[name].values.reshape(data.sizes["y"], -1)[:, 0]
            return bool(column[0] > column[-1])
    return False


def extent_of(field: xr.DataArray) -> tuple[Extent, tuple[float, float]]:
    """Edges of the area and size (dx, dy) of a cell, in km where the coordinates say so, else in cells."""
    sizes = []
    for dim in ("x", "y"):
        coord = field.coords.get(dim)
        known = coord is not None and coord.size > 1 and coord.attrs.get("units") == "km"
        sizes.append(float(coord.values[1] - coord.values[0]) if known else 1.0)  # type: ignore[union-attr]
    dx, dy = (abs(s) for s in sizes)
    return (0.0, dx * field.sizes["x"], 0.0, dy * field.sizes["y"]), (dx, dy)


def undress(axis: Axes, extent: Extent, frame: tuple[int, int], step: tuple[float, float]) -> None:
    """A map without ticks, with the rectangle that parts frame and interior."""
    axis.grid(False)
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(True)
    if any(frame):
        left, bottom = extent[0] + frame[1] * step[0], extent[2] + frame[0] * step[1]
        width, height = (
            extent[1] - extent[0] - 2 * frame[1] * step[0],
            extent[3] - extent[2] - 2 * frame[0] * step[1],
        )
        axis.add_patch(Rectangle((left, bottom), width, height, fill=False, edgecolor=style.INK, linewidth=0.9))
