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
        import xarray as xr

        path = Path(self.path).expanduser()
        if not path.exists():
            raise DataError(f"{path}: no such zarr store; set data.path")
        try:
            file = xr.open_zarr(path, consolidated=None)
        except Exception as error:  # zarr, xarray and codecs raise what they like
            raise DataError(f"{path}: not a readable zarr store ({str(error).splitlines()[0]})") from error
        for name in ("forcing" if self.points and "state" not in file else "state", "splits"):
            if name not in file:
                raise DataError(f"{path}: variable {name} is missing; it holds {sorted(map(str, file.data_vars))}")
        layout = _Layout.scattered(file, path) if self.points else _Layout.of(file, path)
        (h, w), frame = layout.shape, 0 if self.points else self.frame
        if frame < 0 or 2 * frame >= min(h, w):
            raise DataError(f"{path}: a frame of {frame} leaves no interior of {h} x {w} cells; set data.frame")
        splits = {name: _series(file, layout, name) for name in ("train", "val", "test")}
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

    def coordinate(self, file: "xr.Dataset", names: tuple[str, ...]) -> np.ndarray | None:
        found = [n for n in names if n in file.coords and file[n].dims == ("grid_index",)]
        return self.place(file[found[0]].values[:, None])[..., 0] if found else None


def _series(file: "xr.Dataset", layout: _Layout, split: str) -> tuple[Series, ...]:
    """The series of a split."""
    along = "analysis_time" if "analysis_time" in file.dims else "time"
    if split not in file["splits"]["split_name"].values:
        raise DataError(f"{layout.path}: no split {split}; train, val and test are needed")
    bounds = file["splits"].sel(split_name=split)
    begin, end = (np.datetime64(str(bounds.sel(split_part=part).values)) for part in ("start", "end"))
    part = file.sel({along: slice(begin, end)})
    if part.sizes[along] == 0:
        raise DataError(f"{layout.path}: split {split} ({begin} to {end}) holds no {along}")
    if along == "time":
        pieces: list[Any] = [(part, part["time"].values, None)]
    else:
        lead = part["elapsed_forecast_duration"].values
        pieces = [(part.isel(analysis_time=i), t + lead, t) for i, t in enumerate(part["analysis_time"].values)]
        pieces = [(one.rename(elapsed_forecast_duration="time"), *when) for one, *when in pieces]
    if "ensemble_member" in file.dims:
        members = range(file.sizes["ensemble_member"])
        pieces = [(one.isel(ensemble_member=m), *when) for one, *when in pieces for m in members]
    where = f"{layout.path}, split {split}"
    return tuple(
        replace(
            _one(piece, when.astype("datetime64[s]"), layout, where),
            issued=None if issued is None else issued.astype("datetime64[s]"),
        )
        for piece, when, issued in pieces
    )


def _one(file: "xr.Dataset", time: np.ndarray, layout: _Layout, where: str) -> Series:
    def lazy(name: str) -> Any:
        names = _features(file, name)
        if not names:
            return np.zeros((len(time), *(layout.shape if name == "state" else (1, 1)), 0), np.float32)
        array = file[name].transpose("time", "grid_index", f"{name}_feature")

        def read(rows: np.ndarray) -> np.ndarray:
            out = layout.place(array.isel(time=rows).values)
            bad = np.argwhere(~np.isfinite(out))
            if len(bad):
                t, y, x, v = bad[0]
                raise DataError(f"{where}: {name} {names[v]} is not finite at {time[rows[t]]}, y {y}, x {x}")
            return out

        return Lazy((len(time), *layout.shape, len(names)), read)

    return Series(lazy("state"), lazy("forcing"), time)


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
