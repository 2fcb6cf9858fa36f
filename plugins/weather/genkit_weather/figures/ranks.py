"""Rank histograms."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from scipy.stats import binom

from genkit_weather.figures import style


@style.styled
def rank_histogram(
    counts: xr.Dataset, *, leads: Sequence[float] | None = None, data: xr.Dataset | None = None
) -> Figure:
    """Frequency of the truth's rank relative to uniform, variables in rows, lead times in columns.

    A flat histogram is a calibrated ensemble, a bowl one that is too narrow, a dome one too wide, a slope one
    that is biased. The band holds 95 % of the bars of a calibrated ensemble if all cases were independent.

    Args:
        counts: of `diagnostics.rank_counts`.
        leads: hours; three by default.
        data: any Dataset with the variables, for their long names.
    """
    chosen = style.chosen(leads, counts["lead"].values, 3)
    variables = [str(v) for v in counts.data_vars]
    figure = style.new_figure(0.95 + 1.3 * len(variables))
    axes = figure.subplots(len(variables), len(chosen), squeeze=False, sharex=True, sharey="row")
    for row, variable in zip(axes, variables, strict=True):
        tallest = 0.0
        for axis, lead in zip(row, chosen, strict=True):
            n = counts[variable].sel(lead=lead).values
            uniform = n.sum() / n.size
            low, high = binom.interval(0.95, int(n.sum()), 1 / n.size)
            axis.axhspan(low / uniform, high / uniform, color=style.PALE, linewidth=0, zorder=0)
            axis.bar(np.arange(n.size), n / uniform, width=0.86, color=style.FORECAST)
            axis.axhline(1, color=style.INK, linewidth=0.8)
            axis.grid(False)
            axis.set_xlim(-0.6, n.size - 0.4)
            axis.set_xticks([0, n.size - 1])
            tallest = max(tallest, high / uniform, float(n.max() / uniform))
        row[0].set_ylim(0, 1.08 * tallest)
        name = style.label(None if data is None else data[variable], variable)
        row[0].set_ylabel(style.wrapped(name, 16))
    for axis, lead in zip(axes[0], chosen, strict=True):
        axis.set_title(style.hours(lead), loc="center")
    for axis in axes[-1]:
        axis.set_xlabel("Rank of the truth")
    note = f"Frequency relative to a flat histogram; grey: 95 % range by chance, {int(n.sum())} cases a panel"
    style.heading(figure, "Rank histograms", note)
    return figure
