"""Zarr stores written by mllam-data-prep: state, forcing and static fields of one grid, with splits and statistics."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genkit.errors import DataError
from genkit_weather.data import Series, Statistics, WeatherData
from genkit_weather.lazy import Lazy

if TYPE_CHECKING:
    import xarray as xr

    from genkit_weather.gridded import Piece


DIMENSIONS = {"analysis_time": "start", "elapsed_forecast_duration": "step", "ensemble_member": "member"}


@dataclass(frozen=True)
class MDP:
    """An mllam-data-prep store: `path` to the zarr, `frame` cells on each side taken as boundary (there is no mask).

    Forcing and static fields are optional. A split of an analysis is one series; of forecasts, one series each
    analysis time and ensemble member; times that are missing cut them, and pieces of fewer than 3 times are left out,
    which is noted. Values are read on indexing; stored statistics are used where complete.
    """

    path: Path = Path("data.zarr")
    """the zarr store"""
    frame: int = 30
    """cells of the frame on each side"""
    points: bool = False
    """take the points as they come, on no grid and without a frame, also without state: boundary data"""

    @classmethod
    def preset(cls, name: str) -> "MDP":
        """The usual frame of 30 cells in every preset."""
        return cls()

    def files(self) -> list[Path]:
        """The store; `DataError` where it is not there."""
        path = Path(self.path).expanduser()
        if not path.exists():
            raise DataError(f"{path}: no such zarr store; set data.path")
        return [path]

    def load(self) -> WeatherData:
        """Open the store and lay its points out on their grid."""
        from genkit_weather.gridded import open_path

        (path,) = self.files()
        (file,) = open_path(str(path))
        for name in ("forcing" if self.points and "state" not in file else "state", "splits"):
            if name not in file:
                raise DataError(f"{path}: variable {name} is missing; it holds {sorted(map(str, file.data_vars))}")
        layout = _Layout.scattered(file, path) if self.points else _Layout.of(file, path)
        (h, w), frame = layout.shape, 0 if self.points else self.frame
        if frame < 0 or 2 * frame >= min(h, w):
            raise DataError(f"{path}: a frame of {frame} leaves no interior of {h} x {w} cells; set data.frame")
        splits, step, notes = _splits(file, layout)
        lat, lon = (layout.coordinate(file, names) for names in (("lat", "latitude"), ("lon", "longitude")))
        if "static" in file:
            static = layout.place(file["static"].transpose("grid_index", "static_feature").values)
        else:
            static = np.zeros((h, w, 0), np.float32)
        names = _features(file, "state")
        return WeatherData(
            train=splits["train"],
            val=splits["val"],
            test=splits["test"],
            static=static,
            frame=(frame, frame),
            names=names,
            units=_described(file, "state_feature_units", names),
            long_names=_described(file, "state_feature_long_name", names),
            forcing_names=_features(file, "forcing"),
            static_names=_features(file, "static"),
            step_hours=step / 3600,
            lat=lat,
            lon=lon,
            x=None if self.points else layout.x / 1000,
            y=None if self.points else layout.y / 1000,
            diurnal=True,
            source=path.name,
            stored=_statistics(file),
            notes=notes,
        )


@dataclass(frozen=True)
class _Layout:
    """Where each point of `grid_index` lies on the (H, W) grid, whichever of x and y runs faster."""

    path: Path
    x: np.ndarray  # (W,) metres
    y: np.ndarray  # (H,)
    order: np.ndarray  # (H * W,) grid_index of each cell, row by row

    @classmethod
    def of(cls, file: "xr.Dataset", path: Path) -> "_Layout":
        for name in ("x", "y"):
            if name not in file.coords or file[name].dims != ("grid_index",):
                raise DataError(f"{path}: coordinate {name}(grid_index) is missing; the store needs x and y stacked")
        x, column = np.unique(file["x"].values, return_inverse=True)
        y, row = np.unique(file["y"].values, return_inverse=True)
        place = row * len(x) + column
        order = np.argsort(place, kind="stable")
        if len(place) != len(x) * len(y) or (place[order] != np.arange(len(place))).any():
            raise DataError(f"{path}: {len(place)} points do not fill a grid of {len(y)} x {len(x)} cells")
        return cls(path, x, y, order)

    @classmethod
    def scattered(cls, file: "xr.Dataset", path: Path) -> "_Layout":
        """All points in one row, each with a column of its own."""
        for names in (("lat", "latitude"), ("lon", "longitude")):
            if not any(n in file.coords and file[n].dims == ("grid_index",) for n in names):
                raise DataError(f"{path}: coordinate {names[0]}(grid_index) is missing; points on no grid need it")
        count = np.arange(file.sizes["grid_index"])
        return cls(path, count, np.zeros(1), count)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.y), len(self.x)

    def place(self, values: np.ndarray) -> np.ndarray:
        """(..., grid_index, feature) to (..., H, W, feature), float32."""
        ordered = values[..., self.order, :]
        return ordered.reshape(*values.shape[:-2], *self.shape, values.shape[-1]).astype(np.float32)

    def coordinate(self, file: "xr.Dataset", names: tuple[str, ...]) -> np.ndarray | None:
        found = [n for n in names if n in file.coords and file[n].dims == ("grid_index",)]
        return self.place(file[found[0]].values[:, None])[..., 0] if found else None


def _splits(file: "xr.Dataset", layout: _Layout) -> tuple[dict[str, tuple[Series, ...]], int, tuple[str, ...]]:
    """The series of each split, their step in seconds, and notes; times that are missing cut them."""
    from genkit_weather.gridded import SHORTEST, cut, durations, gaps, long_enough, stamp, usual_step

    file = file.rename({old: new for old, new in DIMENSIONS.items() if old in file.dims})
    along, known = "start" if "start" in file.dims else "time", stamp(str(layout.path))
    stamps = file[along].values.astype("datetime64[s]")
    held = durations(file["step"], str(layout.path)) if along == "start" else stamps.astype(np.int64)
    if len(held) < SHORTEST:
        raise DataError(f"{layout.path}: too few times ({len(held)}); a forecast needs {SHORTEST} in a row")
    step = usual_step(held)
    notes = gaps(stamps if along == "time" else held.astype("timedelta64[s]"), held, step)
    members = [{"member": m} for m in range(file.sizes.get("member", 0))] or [{}]
    splits: dict[str, tuple[Series, ...]] = {}
    for split in ("train", "val", "test"):
        if split not in file["splits"]["split_name"].values:
            raise DataError(f"{layout.path}: no split {split}; train, val and test are needed")
        bounds = file["splits"].sel(split_name=split)
        begin, end = (np.datetime64(str(bounds.sel(split_part=part).values)) for part in ("start", "end"))
        inside = np.flatnonzero((stamps >= begin) & (stamps <= end))
        if not len(inside):
            raise DataError(f"{layout.path}: split {split} ({begin} to {end}) holds no {along}")
        found = cut(inside, stamps, held, step, along == "start")
        kept = long_enough(found, split, step, f"{layout.path}: split {split} ({begin} to {end})", notes)
        every = [replace(one, index={**one.index, **m}) for one in kept for m in members]
        splits[split] = tuple(_read(file, layout, one, known) for one in every)
    return splits, step, tuple(notes)


def _read(file: "xr.Dataset", layout: _Layout, piece: "Piece", known: str) -> Series:
    state, forcing = (_lazy(file, layout, name, piece, known) for name in ("state", "forcing"))
    return Series(state, forcing, piece.time, issued=piece.issued)


def _lazy(file: "xr.Dataset", layout: _Layout, name: str, piece: "Piece", known: str) -> Any:
    """A variable at the times of a piece: rows are taken of the points as they lie in the store, then laid out."""
    from genkit_weather.gridded import finite, key

    names, shape = _features(file, name), layout.shape
    if not names:
        return np.zeros((len(piece.rows), *(shape if name == "state" else (1, 1)), 0), np.float32)
    along = "time" if piece.issued is None else "step"
    array = file[name].isel({d: i for d, i in piece.index.items() if d in file[name].dims})
    array = array.transpose(along, "grid_index", f"{name}_feature")

    def read(which: np.ndarray) -> np.ndarray:
        out = layout.place(array.isel({along: piece.rows[which]}).values)
        return finite(out, names, f"{layout.path}, {name}", lambda t: str(piece.time[which[t]]))

    known = known and f"{known} {name}"
    return Lazy((len(piece.rows), *shape, len(names)), read, key(known, names, piece.index, piece.rows))


def _features(file: "xr.Dataset", name: str) -> tuple[str, ...]:
    return tuple(map(str, file[f"{name}_feature"].values)) if name in file else ()


def _described(file: "xr.Dataset", name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(str, file[name].values)) if name in file.coords else default


def _statistics(file: "xr.Dataset") -> Statistics | None:
    """The stored statistics of the training split, where state, forcing and static fields all have them."""

    def get(name: str, op: str) -> np.ndarray | None:
        if name not in file:
            return np.zeros(0, np.float32)
        key = f"{name}__train__{op}"
        return file[key].values.astype(np.float32) if key in file else None

    wanted = ("mean", "std", "diff_mean", "diff_std")
    state = [get("state", op) for op in wanted]
    other = [get(name, op) for name in ("forcing", "static") for op in wanted[:2]]
    found = [a for a in (*state, *other) if a is not None]
    if len(found) < 8 or (found[1] <= 0).any():
        return None
    mean, std, diff_mean, diff_std, *rest = found
    rest[1], rest[3] = (np.where(s > 0, s, 1).astype(np.float32) for s in (rest[1], rest[3]))
    return Statistics(mean, std, diff_mean / std, diff_std / std, *rest)
