"""Spread and error by distance to the frame."""

from collections.abc import Sequence

import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from genkit_weather.figures import style


@style.styled
def spread_by_distance(
    rings: xr.Dataset, *, leads: Sequence[float] | None = None, data: xr.Dataset | None = None
) -> Figure:
    """Spread (solid) and RMSE of the mean (dashed) by distance to the frame, a panel for each variable.

    Near the frame the boundary data holds the forecast; spread and error should grow inwards together.

    Args:
        rings: of `diagnostics.by_distance`.
        leads: hours; four by default.
        data: any Dataset with the variables, for their long names and units.
    """
    chosen = style.chosen(leads, rings["lead"].values, 4)
    variables = [str(v) for v in rings.data_vars]
    columns = min(3, len(variables))
    rows = -(-len(variables) // columns)
    figure = style.new_figure(1.1 + 2.35 * rows)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True)
    colours = style.lead_colours(len(chosen))
    for axis, variable in zip(axes.flat, variables, strict=False):
        values = rings[variable].sel(lead=chosen).transpose("kind", "lead", "distance")
        for colour, spread, rmse in zip(
            colours, values.sel(kind="spread").values, values.sel(kind="rmse").values, strict=True
        ):
            axis.plot(rings["distance"], spread, color=colour)
            axis.plot(rings["distance"], rmse, color=colour, linestyle=(0, (4, 1.5)), linewidth=1.3)
        axis.set_ylim(bottom=0)
        axis.set_xlim(left=min(1, rings.sizes["distance"] - 1))
        field = None if data is None else data[variable]
        axis.set_title(style.with_unit(style.label(field, variable), style.unit(field)))
    for place, axis in enumerate(axes.flat):
        if place >= len(variables):
            axis.remove()
        elif place + columns >= len(variables):
            axis.set_xlabel("Distance to the frame [cells]")
            axis.tick_params(labelbottom=True)
    handles = [Line2D([], [], color=c) for c in colours]
    handles += [Line2D([], [], color=style.GREY), Line2D([], [], color=style.GREY, linestyle=(0, (4, 1.5)))]
    labels = [*(style.hours(one) for one in chosen), "spread", "RMSE of the mean"]
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    style.heading(figure, "Spread and error by distance to the frame")
    return figure


@style.styled
def ablation(rings: dict[str, xr.DataArray], leads: Sequence[float]) -> Figure:
    """Error by distance to the border, a panel for each lead time, a line for each variant; the first is the reference.

    Args:
        rings: RMSE (lead, distance) by title.
        leads: hours of the panels.
    """
    figure = style.new_figure(3.6)
    axes = figure.subplots(1, len(leads), squeeze=False, sharex=True)[0]
    looks = [(style.FORECAST, "-"), *((colour, dashes) for colour, dashes in style.BASELINES.values())]
    looks += [(colour, "-") for colour in style.OTHERS]
    for axis, lead in zip(axes, leads, strict=True):
        for i, (colour, dashes), values in zip(range(len(rings)), looks, rings.values(), strict=False):
            axis.plot(
                values["distance"], values.sel(lead=lead), color=colour, linestyle=dashes, linewidth=1.2 if i else 2.2
            )
        axis.set_title(style.hours(lead))
        axis.set_xlabel("Distance to the border [cells]")
    axes[0].set_ylabel("RMSE [standard deviations]")
    handles = [
        Line2D([], [], color=colour, linestyle=dashes) for (colour, dashes), _ in zip(looks, rings, strict=False)
    ]
    figure.legend(handles, list(rings), loc="outside lower center", ncols=min(4, len(rings)))
    style.heading(figure, "Error by distance to the border")
    return figure
