"""One look for all figures: sizes for a report about 1000 pixels wide, colours safe for the colour-blind."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import wraps
from textwrap import fill
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

WIDTH = 9.2  # inches, 1012 pixels at DPI
DPI = 110
INK, GREY, PALE = "#1a1a1a", "#6b6b6b", "#d9d9d9"
FORECAST, TRUTH = "#0060a8", INK
# Okabe and Ito 2008, darkened where thin lines need it; each with its own dashes, to survive grey printing.
BASELINES: dict[str, tuple[str, Any]] = {
    "climatology": ("#8c8c8c", (0, (1, 1.4))),
    "persistence": ("#d55e00", (0, (5, 1.6))),
    "harmonic": ("#cc79a7", (0, (3, 1.2, 1, 1.2))),
    "harmonic_ensemble": ("#882255", (0, (3, 1.2, 1, 1.2, 1, 1.2, 1, 1.2))),
    "ridge": ("#009e73", (0, (6, 1.2, 1, 1.2))),
    "ar2": ("#e69f00", (0, (2.5, 1.2))),
    "frame_regression": ("#56b4e9", (0, (4, 1.2, 1, 1.2, 1, 1.2))),
    "oracle": (INK, (0, (1, 0.8))),
}
OTHERS = ("#7b3294", "#a6761d", "#1b7837", "#b2182b", "#4d4d4d")

STYLE: Any = {
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "axes.titlelocation": "left",
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e8e8e8",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "lines.linewidth": 1.7,
    "lines.markersize": 4.0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handlelength": 2.6,
}


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the house style without touching the caller's settings of matplotlib."""

    @wraps(draw)
    def drawn(*args: Any, **kwargs: Any) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return drawn


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure in inches, drawn without a display."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.05, h_pad=0.05, wspace=0.02, hspace=0.03)  # type: ignore[union-attr]
    return figure


def heading(figure: Figure, title: str, note: str = "") -> None:
    """Title at the left with one grey line of context under it."""
    inch, left = 1 / figure.get_figheight(), 0.11 / figure.get_figwidth()
    figure.text(left, 1 - 0.08 * inch, title, va="top", fontsize=12, fontweight="bold", color=INK)
    figure.text(left, 1 - 0.31 * inch, note, va="top", fontsize=9, color=GREY)
    room = 0.5 if note else 0.34
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - room * inch))  # type: ignore[union-attr]


def label(field: xr.DataArray | None, name: str) -> str:
    """Long name of a variable with a capital, or its plain name."""
    long = "" if field is None else str(field.attrs.get("long_name", ""))
    return long[:1].upper() + long[1:] if long else name


def unit(field: xr.DataArray | None) -> str:
    """Unit as it is printed, empty where there is none."""
    return printed("" if field is None else str(field.attrs.get("units", "")))


def printed(units: str) -> str:
    """Units as they are printed, nothing of a number without."""
    return "" if units == "1" else pretty(units)


def with_unit(text: str, units: str) -> str:
    """`text [units]`."""
    return f"{text} [{units}]" if units else text


def wrapped(text: str, width: int = 20) -> str:
    """Text in lines short enough for the side of a panel."""
    return fill(text, width, break_long_words=False, break_on_hyphens=False)


def pretty(units: str) -> str:
    """Units with raised exponents: m s-1 and m**2 s**-2 become m s⁻¹ and m² s⁻²."""
    raised = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    out = []
    for word in units.replace("**", "").replace("^", "").split():
        stem = word.rstrip("-0123456789")
        out.append(stem + word[len(stem) :].translate(raised) if stem else word)
    return " ".join(out)


def square(unit: str) -> str:
    """K², and (m s⁻¹)² of what has several parts."""
    return f"{unit}²" if unit.isalpha() else f"({unit})²"


def hours(lead: float) -> str:
    """Lead time as +6 h, or +5 d from ten days of hours on."""
    return f"+{lead / 24:g} d" if lead >= 240 and lead % 24 == 0 else f"+{lead:g} h"


def when(time: Any) -> str:
    """Time as 1 Mar 2019 06 UTC."""
    stamp: datetime = np.datetime64(time, "s").astype(datetime)
    clock = stamp.strftime("%H") if stamp.minute == 0 else stamp.strftime("%H:%M")
    return f"{stamp.day} {stamp.strftime('%b %Y')} {clock} UTC"


def chosen(leads: Sequence[float] | None, known: np.ndarray, count: int) -> np.ndarray:
    """The lead times asked for, or `count` of the known ones, evenly spaced, first and last among them."""
    if leads is not None:
        return np.asarray(leads, float)
    return known[np.unique(np.linspace(0, len(known) - 1, min(count, len(known))).round().astype(int))]


def lead_colours(count: int) -> np.ndarray:
    """Colours (count, 4) that darken with lead time, none too pale for a line."""
    return matplotlib.colormaps["viridis_r"](np.linspace(0.15, 0.95, count))


def lead_ticks(axis: Axes, leads: np.ndarray) -> None:
    """Ticks of a lead-time axis at whole days or parts of a day, from 0."""
    longest = float(np.max(leads))
    step = next((s for s in (1, 3, 6, 12, 24, 48, 72, 120, 240) if longest / s <= 8), 480)
    axis.set_xlim(0, longest * 1.025)
    axis.set_xticks(np.arange(0, longest + 0.5 * step, step))
