"""What a weather data set is: independent series of gridded states, their forcing, static fields and statistics.

Arrays live on the host (numpy, float32, or something that loads on indexing). A forecast from *start* i knows the
states i-1 and i of its series; *lead* k is the state i+k.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genkit.errors import DataError

DEGREE = 111.195  # km of a degree of latitude
BLOCK = 256  # times read at once where a whole series is scanned, fewer of large fields
BLOCK_BYTES = 2**28  # of them in float64
KEPT = 1  # raised where what is kept in the cache, or the arrays it is found in, would come out otherwise


@dataclass(frozen=True)
class Series:
    """One independent trajectory of T equidistant times on an (H, W) grid.

    `lateral` is the boundary data where it is not the truth (read it through `boundary`); where those come from a
    forecast of a larger domain, `host(starts, leads)` gives the ones that a forecast from each start has (read it
    through `frames`), and `lateral` strings such forecasts together for training. `analysis` is what a forecaster
    knows of the state where it is not the truth (read it through `known`). `forecast` holds forecasts of the
    states, NaN at times without one: backgrounds that an analysis learns from. `issued` is the analysis time where the
    series is itself a forecast.
    """

    state: np.ndarray  # (T, H, W, V), physical units
    forcing: np.ndarray  # (T, H, W, F), or (T, 1, 1, F) where it is the same everywhere; one time a row
    time: np.ndarray  # (T,) datetime64[s]
    lateral: np.ndarray | None = None  # (T, H, W, V); only its frame cells count
    analysis: np.ndarray | None = None  # (T, H, W, V)
    host: Callable[..., np.ndarray] | None = None  # (starts, leads) -> (start, lead, H, W, V)
    issued: np.datetime64 | None = None
    forecast: np.ndarray | None = None  # (T, H, W, V)

    def __len__(self) -> int:
        """Number of times T."""
        return self.state.shape[0]

    @property
    def boundary(self) -> np.ndarray:
        """(T, H, W, V) boundary data."""
        return self.state if self.lateral is None else self.lateral

    @property
    def known(self) -> np.ndarray:
        """(T, H, W, V) states a forecast starts from."""
        return self.state if self.analysis is None else self.analysis


@dataclass(frozen=True)
class Layout:
    """Sizes of a data set, which a data set can tell by a method `layout()` before it has any data."""

    grid: tuple[int, int]
    frame: tuple[int, int]
    variables: int
    forcings: int
    statics: int
    uniform: bool
    """whether the forcing is the same everywhere"""
    spacing: float | None = None
    """km, see `WeatherData.spacing`"""


@dataclass(frozen=True)
class WeatherData:
    """Three splits of series with all that describes them.

    `frame` = (fy, fx): cells on each side in y and in x whose values are given, not predicted; (0, 0) is a domain
    without boundary, (0, 4) a ring of latitude cut open.
    `oracle(starts, members, leads)`, where the true dynamics are known, gives exact draws of the future of the first
    test series, (start, lead, member, H, W, V).
    """

    train: tuple[Series, ...]
    val: tuple[Series, ...]
    test: tuple[Series, ...]
    static: np.ndarray  # (H, W, S)
    frame: tuple[int, int]
    names: tuple[str, ...]  # V
    units: tuple[str, ...]
    long_names: tuple[str, ...]
    forcing_names: tuple[str, ...]  # F
    static_names: tuple[str, ...]  # S
    step_hours: float
    lat: np.ndarray | None = None  # (H, W) degrees north
    lon: np.ndarray | None = None  # (H, W) degrees east
    x: np.ndarray | None = None  # (W,) km
    y: np.ndarray | None = None  # (H,) km
    oracle: Callable[..., np.ndarray] | None = None
    diurnal: bool = False  # the state has a daily cycle worth a climatology by the hour
    source: str = "data"  # how errors name the data set
    stored: "Statistics | None" = None  # where the files hold them
    around: Any = None  # the `Host` of a second data set as the boundary, see `genkit_weather.host.surrounded`
    weights: np.ndarray | None = None  # (H, W) of the cells in losses and scores; None: all alike
    mask: np.ndarray | None = None  # (H, W, V) bool, False where a variable has no values and does not count
    crs: str | None = None  # the projection of x and y in WKT
    standard_names: tuple[str, ...] = ()  # V, those of CF, empty where there is none; () if none are known
    forcing_units: tuple[str, ...] = ()  # F, empty where there is none; () if none are known
    forcing_fill: np.ndarray | None = None  # (H, W, F), what cells without values hold; NaN in cells that have values
    wind: str = "file"  # the axes to which components were turned: grid or earth; those of the files if `file`
    corrected: tuple[tuple[str, str, str], ...] = ()  # variables whose files say one unit and mean another
    elevation: np.ndarray | None = None  # (H, W) of the surface, m, where a static field tells it
    notes: tuple[str, ...] = ()  # what was done to the files to understand them, a line each

    @property
    def grid(self) -> tuple[int, int]:
        """(H, W)."""
        return self.static.shape[0], self.static.shape[1]

    @property
    def layout(self) -> Layout:
        """The sizes."""
        uniform = self.train[0].forcing.shape[1:3] == (1, 1)
        counts = len(self.names), len(self.forcing_names), len(self.static_names)
        return Layout(self.grid, self.frame, *counts, uniform, self.spacing)

    @property
    def spacing(self) -> float | None:
        """Side in km of a square as large as a cell; None where the data have no coordinates."""
        if min(self.grid) < 2:
            return None
        if self.x is not None and self.y is not None:
            sides = [float(np.abs(np.diff(axis)).mean()) for axis in (self.x, self.y)]
        elif self.lat is not None and self.lon is not None:
            lat, lon = np.asarray(self.lat, np.float64), np.asarray(self.lon, np.float64)
            place = DEGREE * np.stack([lon * np.cos(np.deg2rad(lat.mean())), lat])
            sides = [float(np.median(np.hypot(*np.diff(place, axis=axis)))) for axis in (1, 2)]
        else:
            return None
        return math.sqrt(sides[0] * sides[1])

    @property
    def interior(self) -> tuple[slice, slice]:
        """Slices in y and x of the predicted cells."""
        (h, w), (fy, fx) = self.grid, self.frame
        return slice(fy, h - fy), slice(fx, w - fx)

    @property
    def interior_weights(self) -> np.ndarray | None:
        """(h, w, 1) weights of the predicted cells, of mean 1; (h, w, V) with a mask, 0 where it is False."""
        if self.weights is None and self.mask is None:
            return None
        inner = np.ones((1, 1, 1)) if self.weights is None else self.weights[self.interior][..., None]
        inner = inner if self.mask is None else inner * self.mask[self.interior]
        return (inner / inner.mean((0, 1))).astype(np.float32)

    @property
    def frame_mask(self) -> np.ndarray:
        """(H, W) bool, True in the frame."""
        mask = np.ones(self.grid, bool)
        mask[self.interior] = False
        return mask

    def splits(self) -> dict[str, tuple[Series, ...]]:
        """The three splits by name."""
        return {"train": self.train, "val": self.val, "test": self.test}


@dataclass(frozen=True)
class Statistics:
    """Moments over the training split and all cells, population form (ddof 0), float32.

    `diff_mean` and `diff_std` belong to one-step differences of the *standardised* state. A forcing or static field
    that is constant has std 1 here, so that standardising gives 0.
    """

    mean: np.ndarray  # (V,)
    std: np.ndarray  # (V,)
    diff_mean: np.ndarray  # (V,)
    diff_std: np.ndarray  # (V,)
    forcing_mean: np.ndarray  # (F,)
    forcing_std: np.ndarray  # (F,)
    static_mean: np.ndarray  # (S,)
    static_std: np.ndarray  # (S,)


def frames(series: Series, starts: Sequence[int], leads: Sequence[int]) -> np.ndarray:
    """Boundary data (start, lead, H, W, V) a forecast from each start has at each lead (0 and -1 allowed)."""
    if series.host is not None:
        return np.asarray(series.host(starts, leads), np.float32)
    when = np.asarray(starts)[:, None] + np.asarray(leads)
    return np.asarray(take(series.boundary, when), np.float32)


def truth(series: Series, starts: Sequence[int], leads: Sequence[int]) -> np.ndarray:
    """True states (start, lead, H, W, V)."""
    return np.asarray(take(series.state, np.asarray(starts)[:, None] + np.asarray(leads)), np.float32)


def take(array: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Rows of a series' array, also of one that loads on indexing; negative rows are refused."""
    if index.size and (index.min() < 0 or index.max() >= array.shape[0]):
        raise DataError(
            f"times {index.min()}..{index.max()} asked of a series of {array.shape[0]}; "
            "choose starts and leads inside it"
        )
    return np.asarray(array[index.ravel()]).reshape(*index.shape, *array.shape[1:])


def rows_at_once(shape: tuple[int, ...]) -> int:
    """How many rows of an array (T, ...) are read at once."""
    return max(1, min(BLOCK, BLOCK_BYTES // max(8 * math.prod(shape[1:]), 1)))


def blocks(array: np.ndarray, overlap: int = 0) -> Iterator[np.ndarray]:
    """The array in pieces of `rows_at_once` (plus `overlap` rows of the next), float64."""
    rows = rows_at_once(array.shape)
    for lo in range(0, array.shape[0], rows):
        yield np.asarray(array[lo : lo + rows + overlap], np.float64)


def kept(name: str, data: WeatherData, find: Callable[[], dict[str, np.ndarray]], **more: Any) -> dict[str, np.ndarray]:
    """Arrays that take a pass over the training split, found once and kept in the cache where it is read from files.

    Args:
        name: what they are.
        data: whose training split they are found in.
        find: finds them.
        more: what else they depend on.
    """
    read = [array for s in data.train for array in (s.state, s.forcing, s.lateral, s.analysis) if array is not None]
    keys = [getattr(array, "key", "") for array in read if array.shape[-1]]
    if not keys or not all(keys):
        return find()
    from genkit.data import cached

    fixed = hashlib.sha256(np.ascontiguousarray(data.static).tobytes())
    fixed.update(b"" if data.mask is None else np.packbits(data.mask).tobytes())
    about = {"version": KEPT, "read": keys, "fixed": fixed.hexdigest(), "frame": data.frame, **more}
    with np.load(
        cached(f"weather_{name}.npz", about, lambda path: np.savez(path, allow_pickle=False, **find()))
    ) as file:
        return dict(file)


class _Moments:
    """Mean and std over all axes but the last, gathered piece by piece; of the cells of a mask (H, W, V)."""

    def __init__(self, mask: np.ndarray | None = None) -> None:
        self.mask, self.count, self.mean, self.m2 = mask, 0, np.zeros(()), np.zeros(())

    def add(self, piece: np.ndarray) -> None:
        axes = tuple(range(piece.ndim - 1))
        if self.mask is None:
            n: Any = math.prod(piece.shape[:-1])
            mean = piece.mean(axes) if n else 0.0
        else:
            n = len(piece) * self.mask.sum((0, 1))
            mean = (piece * self.mask).sum(axes) / np.maximum(n, 1)
        if not np.max(n):
            return
        away = piece - mean if self.mask is None else (piece - mean) * self.mask
        count, shift = self.count + n, mean - self.mean  # Chan, Golub & LeVeque 1983: the stable merge of two sets
        self.m2 = self.m2 + (away**2).sum(axes) + shift**2 * self.count * n / count
        self.mean, self.count = self.mean + shift * n / count, count

    @property
    def std(self) -> np.ndarray:
        return np.sqrt(self.m2 / np.maximum(self.count, 1))


def _moments(pieces: Iterator[np.ndarray], mask: np.ndarray | None = None) -> _Moments:
    moments = _Moments(mask)
    for piece in pieces:
        moments.add(piece)
    return moments


def statistics(data: WeatherData) -> Statistics:
    """Statistics of the training split, as stored or else found; refuses a state variable that never changes."""
    if data.stored is not None:
        return data.stored
    return Statistics(**kept("statistics", data, lambda: vars(_statistics(data))))


def _statistics(data: WeatherData) -> Statistics:
    state = _moments((p for s in data.train for p in blocks(s.state)), data.mask)
    diff = _moments((np.diff(p, axis=0) for s in data.train for p in blocks(s.state, overlap=1)), data.mask)
    moves = np.hypot(diff.mean, diff.std)
    for name, std, change in zip(data.names, state.std, moves, strict=True):
        if not std > 0:
            raise DataError(f"{data.source}: variable {name} has zero standard deviation in train; leave it out")
        if not change > 0:
            raise DataError(f"{data.source}: variable {name} never changes in train; make it a static field")
    forcing = _moments(p for s in data.train for p in blocks(s.forcing))
    static = _moments(iter([np.asarray(data.static, np.float64)]))

    def one(std: np.ndarray) -> np.ndarray:
        return np.where(std > 0, std, 1.0)

    arrays = (
        *(state.mean, state.std, diff.mean / state.std, diff.std / state.std),
        *(forcing.mean, one(forcing.std), static.mean, one(static.std)),
    )
    return Statistics(*(np.asarray(a, np.float32) for a in arrays))


def check(data: WeatherData) -> WeatherData:
    """The data itself, or one DataError that names the variable and the place of what is wrong."""
    h, w = data.grid
    fy, fx = data.frame
    if min(data.frame) < 0 or 2 * fy >= h or 2 * fx >= w:
        raise DataError(f"{data.source}: frame {data.frame} leaves no interior of a grid of {h} x {w} cells")
    v = len(data.names)
    for label, names in (("units", data.units), ("long_names", data.long_names)):
        if len(names) != v:
            raise DataError(f"{data.source}: {label} has {len(names)} entries for {v} variables {data.names}")
    _shape(data.source, "static", data.static, (h, w, len(data.static_names)))
    if data.mask is not None:
        _shape(data.source, "mask", data.mask, (h, w, v))
        for v, name in enumerate(data.names):
            if not data.mask[data.interior][..., v].any():
                raise DataError(f"{data.source}: no cell inside the frame has values of {name}; leave it out")
    _finite(data.source, data.static, data.static_names)
    for split, series in data.splits().items():
        for i, one in enumerate(series):
            _check_series(data, f"{data.source}: {split} series {i}", one)
    statistics(data)
    return data


def _check_series(data: WeatherData, where: str, series: Series) -> None:
    (h, w), t = data.grid, len(series)
    _shape(where, "state", series.state, (t, h, w, len(data.names)))
    _shape(where, "time", series.time, (t,))
    f = len(data.forcing_names)
    if tuple(series.forcing.shape) != (t, 1, 1, f):
        _shape(where, "forcing", series.forcing, (t, h, w, f))
    if t > 1 and not (np.diff(series.time) > np.timedelta64(0)).all():
        at = int(np.argmax(~(np.diff(series.time) > np.timedelta64(0)))) + 1
        raise DataError(f"{where}: time does not increase at index {at}; sort the times and drop doubles")
    _finite(where, series.state, data.names)
    _finite(where, series.forcing, data.forcing_names)
    for label, extra in (("lateral", series.lateral), ("analysis", series.analysis)):
        if extra is not None:
            _shape(where, label, extra, (t, h, w, len(data.names)))
            _finite(f"{where}, {label}", extra, data.names)


def _shape(where: str, label: str, array: Any, expected: tuple[int, ...]) -> None:
    if tuple(array.shape) != expected:
        raise DataError(f"{where}: {label} has shape {tuple(array.shape)}, expected {expected}")


def _finite(where: str, array: np.ndarray, names: tuple[str, ...]) -> None:
    """Refuse NaN and infinity in an array (..., y, x, name), time first where there is one."""
    for lo in range(0, array.shape[0], BLOCK):
        bad = ~np.isfinite(np.asarray(array[lo : lo + BLOCK]))
        if bad.any():
            first = np.argwhere(bad)[0]
            first[0] += lo
            place = zip(("time", "y", "x")[-(len(first) - 1) :], first, strict=False)
            spot = ", ".join(f"{axis} {int(i)}" for axis, i in place)
            count = int(bad.sum())
            raise DataError(
                f"{where}: variable {names[first[-1]]} is not finite at {spot} ({count} such values near there); "
                "fill or drop them"
            )
