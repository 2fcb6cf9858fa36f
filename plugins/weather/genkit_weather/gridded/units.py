"""Units: their spellings, how they are converted, and which values a quantity can have."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from genkit.errors import DataError

SPELLED = {  # what files write that pint reads otherwise or not at all
    "": "1",
    "mb": "mbar",
    "fraction": "1",
    "proportion": "1",
    "(0 - 1)": "1",
    "0-1": "1",
    "(0-1)": "1",
    "~": "1",
    "-": "1",
    "none": "1",
    "octas": "0.125",
    "oktas": "0.125",
    "okta": "0.125",
    "m of water equivalent": "m",
    "gpm": "m",
    "gpdm": "dam",
    "ms-1": "m s-1",
    "ms**-1": "m s-1",
}
DEGREES = re.compile(
    r"(?i)(deg(ree)?s?[ _.]*|° ?)?(?P<kind>c(elsius)?|f(ahrenheit)?|k(elvins?)?)|(?P<sign>[\u2103\u2109])"
)
LEVEL = r"_-?\d[\d.]*(e[+-]?\d+)?$"  # at the end of the name of a variable at one of several levels, as %g writes it
FILLS = -999.0, -9999.0, -99999.0, -32768.0, -32767.0  # what stands for no value
WATER = 1000.0  # kg m-3: precipitation is told as a depth or as a mass on an area, both also per time


@dataclass(frozen=True)
class Quantity:
    """What a variable may be: names by which it goes, its unit and the range of its values."""

    pattern: str
    """of a standard name or a variable's name"""
    unit: str
    low: float
    high: float


QUANTITIES = (
    Quantity(r"(.*_)?temperature(_.*)?|2?t(2m|_2m|2|mp2)?|sst|skt|d2m|2d", "K", 150, 350),
    Quantity(r"(.*_)?(air|surface)_pressure(_.*)?|msl|sp|psl|ps|prmsl|mslp", "Pa", 3e4, 1.1e5),
    Quantity(r"relative_humidity|r2?|rh|hurs", "1", -0.05, 1.8),
    Quantity(r"specific_humidity|q2?|huss|hus|q2m", "1", -1e-3, 0.06),
    Quantity(r"(.*_)?(x|y|eastward|northward|u|v)_(component_of_)?wind(_.*)?|[uv](10|100)m?|10[uv]|wind_speed|ws10",
             "m s-1", -150, 150),
    Quantity(r"land_binary_mask|land_area_fraction|cloud_area_fraction|lsm|tcc|clt", "1", -0.01, 1.01),
    Quantity(r"precipitation_amount|tp|pr_amount|rain", "kg m-2", -0.01, 3000),
)  # fmt: skip
SUMS = (
    rf"{QUANTITIES[-1].pattern}|(.*_)?(precipitation|rainfall|snowfall|radiation)(_.*)?|rain(n?c|sh)|cp|lsp|[st][st]rd?"
)
RATES = r".*([WK]|s\*{0,2}\^?-1|/ ?(s|h|hr|hour|day)|(h|hr|hour|d|day)\*{0,2}\^?-1)( ?[m/].*)?"


def spelled(unit: str) -> str:
    """A unit as pint reads it."""
    plain = str(unit).strip()
    if heat := DEGREES.fullmatch(plain):
        kind = {"\u2103": "C", "\u2109": "F"}.get(heat["sign"]) or heat["kind"][0].upper()
        return "K" if kind == "K" else f"deg{kind}"
    return SPELLED.get(plain, SPELLED.get(plain.lower(), plain))


@cache
def registry() -> Any:
    """pint's table of units with the spellings of UDUNITS; made when first needed, which takes a second."""
    import logging

    log = logging.getLogger("pint.util")
    level = log.level
    log.setLevel(logging.ERROR)  # it tells of each unit that UDUNITS spells otherwise
    from cf_xarray.units import units

    log.setLevel(level)
    return units


def factor(unit: str, to: str, what: str) -> tuple[float, float]:
    """(scale, offset) with which a value in one unit is scale * value + offset in another.

    A depth of water in mm is a mass in kg m-2, also per time. `what` is how errors name the variable and its file.

    Raises:
        DataError: a unit that is not known, or of another kind.
    """
    old, new = spelled(unit), spelled(to)
    if old == new:
        return 1.0, 0.0
    pint = registry()
    try:
        one, other = (pint.parse_expression(u) if u else pint.Quantity(1) for u in (old, new))
        one, other = (q if hasattr(q, "units") else pint.Quantity(q) for q in (one, other))
    except Exception:  # pint raises what it likes
        raise DataError(f"{what} has the unit {unit!r}; expected one that can be converted to {to!r}") from None
    water = pint.Quantity(WATER, "kg/m^3")
    if one.dimensionality * water.dimensionality == other.dimensionality:
        one = one * water
    elif one.dimensionality == other.dimensionality * water.dimensionality:
        one = one / water
    if not one.is_compatible_with(other):
        raise DataError(f"{what} has the unit {unit!r}; expected one that can be converted to {to!r}")
    at = [(pint.Quantity(v * one.magnitude, one.units).to(other.units).magnitude) / other.magnitude for v in (0.0, 1.0)]
    return float(at[1] - at[0]), float(at[0])


def convert(values: Any, unit: str, to: str, what: str) -> Any:
    """Values in another unit; `what` is how errors name the variable and its file, see `factor`."""
    scale, offset = factor(unit, to, what)
    return values if (scale, offset) == (1.0, 0.0) else values * scale + offset


def accumulated(array: Any) -> bool:
    """Whether a value of a variable (DataArray) is a sum over a time, by its attributes, else its name and its unit."""
    methods, step = str(array.attrs.get("cell_methods", "")), array.attrs.get("GRIB_stepType")
    if "sum" in methods or step == "accum":
        return True
    if re.search("mean|point|maximum|minimum", methods) or step not in (None, "unknown", "instant"):
        return False
    names = str(array.attrs.get("standard_name", "")), re.sub(LEVEL, "", str(array.name))
    rate = re.fullmatch(RATES, str(array.attrs.get("units", "")))
    return not rate and any(re.fullmatch(SUMS, n, re.IGNORECASE) for n in names)


def implausible(name: str, standard: str, unit: str, low: float, high: float) -> str | None:
    """What is strange about a variable whose values lie between `low` and `high`; None if nothing is known against it.

    The quantity is found by the standard name, else by the name without the level at its end.
    """
    if not np.isfinite([low, high]).all():
        return None
    fill = next((v for v in (low, high) if abs(v) > 1e15 or v in FILLS), None)
    if fill is not None:
        return f"{name} has values of {fill:.6g}, a fill value that the file does not declare; call it _FillValue there"
    named = [standard, re.sub(LEVEL, "", name)]
    kind = next((q for n in named for q in QUANTITIES if n and re.fullmatch(q.pattern, n, re.IGNORECASE)), None)
    if kind is None:
        return None
    option = f"--data.units {name} UNIT"
    try:
        scale, offset = factor(unit, kind.unit, name)
    except DataError:
        return f"{name} is in {unit!r}, which is no unit of a quantity in {kind.unit}; correct it by {option}"
    first, last = sorted((scale * low + offset, scale * high + offset))
    if first < kind.low or last > kind.high:
        return (
            f"{name} is said to be in {unit!r} and goes from {low:.4g} to {high:.4g}, which it can hardly be; "
            f"correct it by {option}"
        )
    return None
