"""Units of observations and how they become those of a model."""

import numpy as np

from genkit.errors import DataError

# kind: {spelling: (scale, offset)}, base = scale * value + offset
KINDS: dict[str, dict[str, tuple[float, float]]] = {
    "temperature": {
        "K": (1, 0),
        "degC": (1, 273.15),
        "°C": (1, 273.15),
        "C": (1, 273.15),
        "celsius": (1, 273.15),
        "degF": (5 / 9, 273.15 - 32 * 5 / 9),
        "°F": (5 / 9, 273.15 - 32 * 5 / 9),
    },
    "pressure": {"Pa": (1, 0), "hPa": (100, 0), "mbar": (100, 0), "mb": (100, 0), "kPa": (1000, 0)},
    "speed": {
        "m s-1": (1, 0),
        "m/s": (1, 0),
        "km/h": (1 / 3.6, 0),
        "km h-1": (1 / 3.6, 0),
        "kt": (1852 / 3600, 0),
        "knot": (1852 / 3600, 0),
        "knots": (1852 / 3600, 0),
    },
    "share": {"1": (1, 0), "%": (0.01, 0)},
    "water": {"kg m-2": (1, 0), "kg/m2": (1, 0), "mm": (1, 0), "m": (1000, 0)},
    "geopotential": {"m2 s-2": (1, 0), "m2/s2": (1, 0)},
    "radiation": {"W m-2": (1, 0), "W/m2": (1, 0)},
    "angle": {"degree": (1, 0), "degrees": (1, 0), "deg": (1, 0), "°": (1, 0), "rad": (180 / np.pi, 0)},
}
PLAIN = str.maketrans("", "", "*^")


def convert(values: np.ndarray, unit: str, to: str, what: str) -> np.ndarray:
    """Values in another unit; `what` is how errors name the variable and its file.

    Raises:
        DataError: a unit that is not known, or of another kind.
    """
    old, new = (" ".join(u.translate(PLAIN).split()) for u in (unit, to))
    if old == new:
        return np.asarray(values, float)
    kind = next((k for k, units in KINDS.items() if new in units), None)
    same = KINDS.get(kind or "", {})
    if old not in same:
        known = f"expected {', '.join(same)}" if same else f"expected {to or 'none'}, the model's own"
        raise DataError(f"{what} has the unit {unit!r}; {known}")
    (scale, offset), (scale_to, offset_to) = same[old], same[new]
    return (scale * np.asarray(values, float) + offset - offset_to) / scale_to


def wind_components(speed: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eastward and northward wind (u, v) of a speed and the direction in degrees from which it blows.

    u = -s sin(d), v = -s cos(d): a westerly, d = 270, has u = s. A calm needs no direction.
    """
    angle = np.deg2rad(np.where(speed == 0, 0.0, direction))
    return -speed * np.sin(angle), -speed * np.cos(angle)
