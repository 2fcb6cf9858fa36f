"""Zarr stores written by mllam-data-prep: state, forcing and static fields of one grid, with splits and statistics."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genkit.errors import DataError
from genkit_weather.data import Series, Statistics, WeatherData

if TYPE_CHECKING:
    import xarray as xr


DIMENSIONS = {"analysis_time": "start", "elapsed_forecast_duration": "step", "ensemble_member": "member"}


@dataclass(frozen=True)
class MDP:
    """An mllam-data-prep store: `path` to the zarr, `frame` cells on each side taken as boundary (there is no mask).

    Forcing and static fields are optional. A split of an analysis is one series; of forecasts, one series each
    analysis time and ensemble member. Values are read on indexing; stored statistics are used where complete.
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

    def load(self) -> WeatherData:
        """Open the store and lay its points out on their grid."""
        from genkit_weather.gridded import open_path, stamp

        path = Path(self.path).expanduser()
        if not path.exists():
            raise DataError(f"{path}: no such zarr store; set data.path")
        (file,) = open_path(str(path))
        for name in ("forcing" if self.points and "state" not in file else "state", "splits"):
            if name not in file:
                raise DataError(f"{path}: variable {name} is missing; it holds {sorted(map(str, file.data_vars))}")
        layout = _Layout.scattered(file, path) if self.points else _Layout.of(file, path)
        (h, w), frame = layout.shape, 0 if self.points else self.frame
        if frame < 0 or 2 * frame >= min(h, w):
            raise DataError(f"{path}: a frame of {frame} leaves no interior of {h} x {w} cells; set data.frame")
        splits = {name: _series(file, layout, name, stamp(str(path))) for name in ("train", "val", "test")}
        lat, lon = (layout.coordinate(file, names) for names in (("lat", "latitude"), ("lon", "longitude")))
        if "static" in file:
            static = layout.place(file["static"].transpose("grid_index", "static_feature").values)
        else:
            static = np.zeros((h, w, 0), np.float32)
        time = splits["train"][0].time
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
            step_hours=float((time[1] - time[0]) / np.timedelta64(3600, "s")),
            lat=lat,
            lon=lon,
            x=None if self.points else layout.x / 1000,
            y=None if self.points else layout.y / 1000,
            diurnal=True,
            source=path.name,
            stored=_statistics(file),
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

    def fields(self, file: "xr.Dataset", name: str) -> "xr.Dataset":
        """The features of a variable as fields on rows and columns; nothing is read."""
        import xarray as xr

        array = file[name].transpose(..., f"{name}_feature", "grid_index")
        lead, times = array.dims[:-2], {n: file[n].variable for n in ("time", "start", "step") if n in array.dims}
        data = array.isel(grid_index=self.order).data.reshape(*array.shape[:-1], *self.shape)
        variables = {n: ((*lead, "y", "x"), data[..., i, :, :]) for i, n in enumerate(_features(file, name))}
        return xr.Dataset(variables, times)

    def coordinate(self, file: "xr.Dataset", names: tuple[str, ...]) -> np.ndarray | None:
        found = [n for n in names if n in file.coords and file[n].dims == ("grid_index",)]
        return self.place(file[found[0]].values[:, None])[..., 0] if found else None


def _series(file: "xr.Dataset", layout: _Layout, split: str, known: str) -> tuple[Series, ...]:
    """The series of a split; times that are missing cut them. `known` is the stamp of the store."""
    from genkit_weather.gridded import Layers, durations, runs, usual_step

    file = file.rename({old: new for old, new in DIMENSIONS.items() if old in file.dims})
    along = "start" if "start" in file.dims else "time"
    if split not in file["splits"]["split_name"].values:
        raise DataError(f"{layout.path}: no split {split}; train, val and test are needed")
    bounds = file["splits"].sel(split_name=split)
    begin, end = (np.datetime64(str(bounds.sel(split_part=part).values)) for part in ("start", "end"))
    stamps = file[along].values.astype("datetime64[s]")
    inside = np.flatnonzero((stamps >= begin) & (stamps <= end))
    if not len(inside):
        raise DataError(f"{layout.path}: split {split} ({begin} to {end}) holds no {along}")
    held = {n: layout.fields(file, n) for n in ("state", "forcing") if n in file}
    read = {n: Layers(f, _features(file, n), f"{layout.path}, {n}", known and f"{known} {n}") for n, f in held.items()}
    if along == "time":
        seconds = stamps.astype(np.int64)
        cut = [inside[rows] for rows in runs(seconds[inside], usual_step(seconds))]
        pieces: list[Any] = [({}, rows, stamps[rows], None) for rows in cut]
    else:
        lead = durations(file["step"], str(layout.path)).astype("timedelta64[s]")
        pieces = [({"start": int(i)}, np.arange(len(lead)), stamps[i] + lead, stamps[i]) for i in inside]
    members = [{"member": m} for m in range(file.sizes.get("member", 0))] or [{}]

    def arrays(name: str, index: dict[str, int], rows: np.ndarray) -> Any:
        if name not in read:
            return np.zeros((len(rows), *(layout.shape if name == "state" else (1, 1)), 0), np.float32)
        return read[name].at(index, rows)

    return tuple(
        Series(arrays("state", index | member, rows), arrays("forcing", index | member, rows), time, issued=issued)
        for index, rows, time, issued in pieces
        for member in members
    )


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
