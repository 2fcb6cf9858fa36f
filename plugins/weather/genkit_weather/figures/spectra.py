"""Variance spectra of truth, members and ensemble mean."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from genkit_weather.figures import style

NICE = np.array([1, 2, 5]) * 10.0 ** np.arange(0, 6)[:, None]


@style.styled
def spectra(
    power: xr.Dataset,
    *,
    lead: float | None = None,
    leads: Sequence[float] | None = None,
    data: xr.Dataset | None = None,
) -> Figure:
    """Variance by wavelength at one lead time, and below it members (or the one forecast) relative to truth at several.

    Members below the truth at short wavelengths are too smooth; above it, too noisy. The ensemble mean loses
    detail that cannot be predicted.

    Args:
        power: of `diagnostics.spectra`.
        lead: hours of the spectra shown; the middle one by default.
        leads: hours of the ratios; four by default.
        data: any Dataset with the variables, for their long names and units.
    """
    known = power["lead"].values
    lead = float(known[len(known) // 2] if lead is None else lead)
    chosen = style.chosen(leads, known, 4)
    cell = power.attrs.get("cell_km")
    wavelength = (1.0 if cell is None else float(cell)) / power["frequency"].values
    variables = [str(v) for v in power.data_vars]
    columns = min(3, len(variables))
    blocks = -(-len(variables) // columns)
    figure = style.new_figure(1.15 + 3.1 * blocks)
    grid = figure.subplots(2 * blocks, columns, squeeze=False, sharex=True, height_ratios=[1.6, 1] * blocks)
    for spare in range(len(variables), blocks * columns):
        grid[2 * (spare // columns), spare % columns].remove()
        grid[2 * (spare // columns) + 1, spare % columns].remove()
    colours = style.lead_colours(len(chosen))
    several = power.attrs.get("members", 2) > 1
    members = "Members" if several else "Forecast"
    for place, variable in enumerate(variables):
        top, bottom = grid[2 * (place // columns) : 2 * (place // columns) + 2, place % columns]
        values = power[variable].transpose("kind", "lead", "frequency")
        at = values.sel(lead=lead)
        top.loglog(wavelength, at.sel(kind="truth"), color=style.TRUTH, linewidth=2.4, label="truth")
        top.loglog(wavelength, at.sel(kind="members"), color=style.FORECAST, label=members.lower())
        if several:
            top.loglog(wavelength, at.sel(kind="mean"), color="#56b4e9", linestyle=(0, (4, 1.5)), label="ensemble mean")
        field = None if data is None else data[variable]
        top.set_title(style.label(field, variable))
        low, high = top.get_ylim()
        top.set_ylim(max(low, 1e-8 * high), high)
        squared = style.unit(field)
        top.set_ylabel("Variance" if not squared else f"Variance [{style.square(squared)}]")
        if place % columns == 0:
            bottom.set_ylabel(f"{members}\n/ truth")
        for colour, one in zip(colours, chosen, strict=True):
            ratio = values.sel(lead=one, kind="members") / values.sel(lead=one, kind="truth")
            bottom.semilogx(wavelength, ratio, color=colour, linewidth=1.4, label=style.hours(one))
        bottom.set_yscale("log")
        _ratio_axis(bottom)
        _wavelength_axis(bottom, wavelength)
        if place + columns >= len(variables):
            bottom.set_xlabel("Wavelength [cells]" if cell is None else "Wavelength [km]")
            bottom.tick_params(labelbottom=True)
    first = grid[0, 0].get_lines() + grid[1, 0].get_lines()
    named = [line for line in first if not str(line.get_label()).startswith("_")]
    figure.legend(named, [line.get_label() for line in named], loc="outside lower center", ncols=len(named))
    style.heading(figure, "Spectra", f"Upper panels at {style.hours(lead)}; ratios at several lead times")
    return figure


def _ratio_axis(axis: Axes) -> None:
    axis.axhline(1, color=style.INK, linewidth=0.8)
    low, high = axis.get_ylim()
    axis.set_ylim(max(min(low, 0.45), 0.01), min(max(high, 2.2), 100))
    ticks = [t for t in (0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10, 100) if axis.get_ylim()[0] <= t <= axis.get_ylim()[1]]
    axis.yaxis.set_major_locator(FixedLocator(ticks))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda t, _: f"{t:g}"))


def _wavelength_axis(axis: Axes, wavelength: np.ndarray) -> None:
    """Long waves left, ticks at round wavelengths."""
    low, high = wavelength.min(), wavelength.max()
    ticks = NICE.ravel()[(NICE.ravel() >= low) & (NICE.ravel() <= high)]
    axis.set_xlim(high * 1.05, low * 0.95)
    axis.xaxis.set_major_locator(FixedLocator(list(ticks)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda t, _: f"{t:g}"))
