"""Reliability diagrams."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from genkit.metrics import Reliability
from genkit_weather.figures import style

ACROSS = 3  # panels in a row


@style.styled
def reliability(events: Mapping[str, Mapping[float, Reliability]], data: xr.Dataset, over: str) -> Figure:
    """Share of cases in which an event came, by its forecast probability; a panel a variable, a line a threshold.

    On the diagonal probabilities are right; a flatter line is that of a forecast too sure of itself (Hamill 1997).

    Args:
        events: by variable and threshold, the event being that it is reached.
        data: any Dataset with the variables, for their long names and units.
        over: what the cases are.
    """
    rows = -(-len(events) // ACROSS)
    figure = style.new_figure(1.0 + 2.3 * rows)
    axes = figure.subplots(rows, ACROSS, squeeze=False, sharex=True, sharey=True)
    for axis, (variable, levels) in zip(axes.flat, events.items(), strict=False):
        axis.plot([0, 1], [0, 1], color=style.INK, linewidth=0.8)
        for colour, (level, found) in zip(style.lead_colours(len(levels)), sorted(levels.items()), strict=True):
            some = np.asarray(found.weight) > 0
            x, y = np.asarray(found.forecast)[some], np.asarray(found.observed)[some]
            axis.plot(x, y, color=colour, marker="o", markersize=3, label=f"≥ {level:g}")
        field = data[variable]
        axis.set_title(style.wrapped(style.with_unit(style.label(field, variable), style.unit(field))))
        axis.legend(loc="upper left", fontsize=7.5, handlelength=1.4)
    for axis in axes.flat[len(events) :]:
        axis.set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("Share of members")
    for axis in axes[:, 0]:
        axis.set_ylabel("Share of cases")
    style.heading(figure, "Reliability of events", over)
    return figure
