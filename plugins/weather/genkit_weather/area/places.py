"""Where points lie on the grid of a domain: cells and weights of interpolation, distances on the earth or the plane."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr
from scipy.spatial import KDTree

from genkit.errors import DataError
from genkit_weather.data import WeatherData

EARTH = 6371.0  # km, mean radius
Method = Literal["bilinear", "nearest"]


@dataclass(frozen=True)
class Places:
    """Places of an (H, W) grid: degrees of all cells, or the km of its rows and columns, or both."""

    shape: tuple[int, int]
    lat: np.ndarray | None = None  # (H, W) degrees north
    lon: np.ndarray | None = None  # (H, W) degrees east
    x: np.ndarray | None = None  # (W,) km
    y: np.ndarray | None = None  # (H,) km
    source: str = "grid"  # how errors name it
    crs: str | None = None  # the projection of x and y

    @classmethod
    def of(cls, data: WeatherData | xr.Dataset, source: str = "forecast") -> "Places":
        """The places of a data set, or of a forecast (a Dataset with dimensions y and x)."""
        if isinstance(data, WeatherData):
            return cls(data.grid, data.lat, data.lon, data.x, data.y, data.source, data.crs)
        found = [data[n].values if n in data.coords else None for n in ("latitude", "longitude", "x", "y")]
        return cls((data.sizes["y"], data.sizes["x"]), *found, source=source, crs=data.attrs.get("crs"))

    @property
    def geographic(self) -> bool:
        """Whether latitudes and longitudes are known."""
        return self.lat is not None and self.lon is not None

    def on_globe(self, other: "Places") -> bool:
        """Whether two grids are joined by latitude and longitude, else in the plane, which must be the same."""
        if self.geographic and other.geographic:
            return True
        if not one_plane(self.crs, other.crs):
            raise DataError(
                f"x and y of {self.source} and {other.source} are of different projections; give both latitudes and "
                "longitudes"
            )
        return False

    def kilometres(self, geographic: bool) -> np.ndarray:
        """(H W, 3) km: points of the sphere, or of the plane (x, y, 0)."""
        if geographic and self.lat is not None and self.lon is not None:
            return EARTH * unit_vectors(self.lat.ravel(), self.lon.ravel())
        if not geographic and self.x is not None and self.y is not None:
            x, y = np.meshgrid(self.x, self.y)
            return np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], -1)
        raise DataError(f"{self.source}: {'latitudes and longitudes' if geographic else 'x and y in km'} are not known")

    def pair(self, geographic: bool) -> tuple[np.ndarray, np.ndarray]:
        """(H, W) latitude and longitude of all cells, or their y and x: what `locate` takes."""
        self.kilometres(geographic)  # refuses a grid that has none
        if geographic:
            return np.asarray(self.lat), np.asarray(self.lon)
        return tuple(np.meshgrid(self.y, self.x, indexing="ij"))  # type: ignore[return-value, arg-type]

    def covering(self, place: np.ndarray, what: str) -> tuple[np.ndarray, np.ndarray]:
        """`corners` of places of which none may lie outside."""
        if bare := int(np.isnan(place).any(-1).sum()):
            raise DataError(f"{self.source} does not cover {bare} of {len(place)} cells of {what}; give a larger area")
        return self.corners(place, "bilinear")

    def locate(self, first: np.ndarray, second: np.ndarray, geographic: bool) -> np.ndarray:
        """Fractional (row, column) (n, 2) of points in (latitude, longitude) or (y, x); NaN outside the grid.

        Outside is what lies in no quadrilateral of four neighbouring cell centres. Rows of equal latitude and columns
        of equal longitude are interpolated in degrees (around the globe where the columns do), other grids in
        the gnomonic plane of each point.
        """
        first, second = np.asarray(first, float), np.asarray(second, float)
        if not geographic:
            self.kilometres(False)  # refuses a grid that has none
            return np.stack([_along(self.y, first), _along(self.x, second)], -1)
        self.kilometres(True)
        lat, lon = np.asarray(self.lat, float), np.asarray(self.lon, float)
        if np.ptp(lat, axis=1).max() < 1e-5 and np.ptp(lon, axis=0).max() < 1e-5:
            east = np.unwrap(lon[0], period=360)
            turned = east.min() + (second - east.min() + 1e-4) % 360 - 1e-4  # the border itself is inside
            if len(east) > 2 and abs(abs(2 * east[-1] - east[-2] - east[0]) - 360) < 1e-3:  # once around
                east = np.append(east, 2 * east[-1] - east[-2])
            return np.stack([_along(lat[:, 0], first), _along(east, turned)], -1)
        return _curved(lat, lon, first, second)

    def corners(self, place: np.ndarray, method: Method) -> tuple[np.ndarray, np.ndarray]:
        """Flat cells (n, 4) and their weights (n, 4) for fractional places (n, 2) inside the grid."""
        h, w = self.shape
        if method == "nearest":
            place = np.round(place)
        low = np.floor(place).astype(int)
        part = place - low
        rows = np.minimum(low[:, :1] + [0, 0, 1, 1], h - 1)  # the weight beyond the last row is 0
        columns = (low[:, 1:] + [0, 1, 0, 1]) % w
        weights = np.where([0, 0, 1, 1], part[:, :1], 1 - part[:, :1])
        weights = weights * np.where([0, 1, 0, 1], part[:, 1:], 1 - part[:, 1:])
        return rows * w + columns, weights


def one_plane(first: str | None, second: str | None) -> bool:
    """Whether two projections may be the same: equal, or one is not known."""
    if first is None or second is None or first == second:
        return True
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        return CRS.from_user_input(first).equals(CRS.from_user_input(second), ignore_axis_order=True)
    except CRSError:
        return False


def unit_vectors(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """(..., 3) of degrees (...,)."""
    phi, lam = np.deg2rad(lat), np.deg2rad(lon)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], -1)


def arc(chord: np.ndarray) -> np.ndarray:
    """Distance along the sphere in km of a chord in km."""
    return 2 * EARTH * np.arcsin(np.minimum(chord / (2 * EARTH), 1))


def _along(axis: np.ndarray | None, values: np.ndarray) -> np.ndarray:
    """Fractional index of values on a monotone axis, NaN outside; an axis of one cell has all at 0."""
    axis = np.asarray(axis, float)
    if len(axis) == 1:
        return np.where(np.isfinite(values), 0.0, np.nan)
    steps = np.diff(axis)
    if not (steps > 0).all() and not (steps < 0).all():
        raise DataError("the rows or columns of the grid are not in order; sort them")
    order = slice(None) if steps[0] > 0 else slice(None, None, -1)
    index = np.interp(values, axis[order], np.arange(len(axis), dtype=float)[order])
    slack = 1e-6 * np.abs(axis).max()  # coordinates may be float32
    return np.where((values >= axis.min() - slack) & (values <= axis.max() + slack), index, np.nan)


def _curved(lat: np.ndarray, lon: np.ndarray, north: np.ndarray, east: np.ndarray) -> np.ndarray:
    """`Places.locate` on any grid: the inverse of the bilinear map of the cells around the nearest centre."""
    h, w = lat.shape
    grid, points = unit_vectors(lat, lon), unit_vectors(north, east)
    good = np.isfinite(points).all(-1)
    nearest = np.zeros(len(points), int)
    nearest[good] = KDTree(grid.reshape(-1, 3)).query(points[good])[1]
    row, column = np.divmod(nearest, w)
    out = np.full((len(points), 2), np.nan)
    for up in (-1, 0):
        for left in (-1, 0):
            r, c = np.clip(row + up, 0, h - 2), np.clip(column + left, 0, w - 2)
            quad = np.stack([_gnomonic(grid[r + i, c + j], points) for i in (0, 1) for j in (0, 1)])
            s, t = _inverse_bilinear(*quad)
            inside = (np.minimum(s, t) >= -1e-6) & (np.maximum(s, t) <= 1 + 1e-6) & np.isnan(out[:, 0])
            out[inside] = np.stack([r + np.clip(s, 0, 1), c + np.clip(t, 0, 1)], -1)[inside]
    return out


def _gnomonic(vectors: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """(n, 2): central projection of unit vectors to the plane that touches the sphere at `centre` (n, 3)."""
    east = np.stack([-centre[:, 1], centre[:, 0], np.zeros(len(centre))], -1)
    norm = np.linalg.norm(east, axis=-1, keepdims=True)
    east = np.where(norm > 1e-12, east / np.maximum(norm, 1e-12), [1.0, 0, 0])  # a pole has no east of its own
    north = np.cross(centre, east)
    along = (vectors * centre).sum(-1)
    return np.stack([(vectors * axis).sum(-1) / along for axis in (east, north)], -1)


def _inverse_bilinear(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(s, t) at which (1-s)(1-t) a + (1-s) t b + s (1-t) c + s t d = 0, corners (n, 2), by Newton's method."""
    s, t = (np.full(len(a), 0.5) for _ in range(2))
    with np.errstate(all="ignore"):  # far from the point the map may be singular: not inside
        for _ in range(12):
            value = ((1 - s) * (1 - t))[:, None] * a + ((1 - s) * t)[:, None] * b
            value = value + (s * (1 - t))[:, None] * c + (s * t)[:, None] * d
            ds = (1 - t)[:, None] * (c - a) + t[:, None] * (d - b)
            dt = (1 - s)[:, None] * (b - a) + s[:, None] * (d - c)
            det = ds[:, 0] * dt[:, 1] - ds[:, 1] * dt[:, 0]
            s = s - (value[:, 0] * dt[:, 1] - value[:, 1] * dt[:, 0]) / det
            t = t - (ds[:, 0] * value[:, 1] - ds[:, 1] * value[:, 0]) / det
    return s, t
