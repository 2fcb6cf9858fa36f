"""MEPS forecasts as numpy files, one file a forecast and member: the layout of the neural-lam MEPS example."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from genkit.errors import DataError, UsageError
from genkit_weather.area import angles
from genkit_weather.data import Layout, Series, WeatherData
from genkit_weather.lazy import Lazy

HOURS, ON_DISK, DROPPED = 65, 18, 15
WATER, SUN = "wtr", "nwp_toa_downwelling_shortwave_flux"  # files beside those of the states
VARIABLES = {  # name: (unit, long name), in the order of the files without feature 15
    "pres_0g": ("Pa", "pressure at the ground"),
    "pres_0s": ("Pa", "pressure at sea level"),
    "nlwrs_0": ("W m-2", "net long-wave radiation at the surface, sum over the step"),
    "nswrs_0": ("W m-2", "net short-wave radiation at the surface, sum over the step"),
    "r_2": ("1", "relative humidity at 2 m"),
    "r_65": ("1", "relative humidity at the lowest model level"),
    "t_2": ("K", "temperature at 2 m"),
    "t_65": ("K", "temperature at the lowest model level"),
    "t_500": ("K", "temperature at 500 hPa"),
    "t_850": ("K", "temperature at 850 hPa"),
    "u_65": ("m s-1", "eastward wind at the lowest model level"),
    "u_850": ("m s-1", "eastward wind at 850 hPa"),
    "v_65": ("m s-1", "northward wind at the lowest model level"),
    "v_850": ("m s-1", "northward wind at 850 hPa"),
    "wvint_0": ("kg m-2", "column of water vapour"),
    "z_1000": ("m2 s-2", "geopotential at 1000 hPa"),
    "z_500": ("m2 s-2", "geopotential at 500 hPa"),
}
RADIATION = [2, 3]
FORCINGS = ("open_water", "toa_radiation", "sin_hour", "cos_hour", "sin_year", "cos_year")
STATICS = ("x", "y", "surface_geopotential", "border")
FEATURES = np.delete(np.arange(ON_DISK), DROPPED)
SPLITS = ("train", "val", "test")
NAME = re.compile(r"nwp_(\d{4})(\d{2})(\d{2})(\d{2})_mbr(\d{3})\.npy")


@dataclass(frozen=True)
class MEPS:
    """MEPS limited-area forecasts read from `root`: samples/{train,val,test}/nwp_*.npy and static/*.npy.

    Each forecast, member and phase of the sub-sampled hours (training split only) is a series; files are memory
    maps, read on indexing. The radiation variables are summed over the hours of each step. The first step of a
    series has only the hours since the forecast's begin.
    """

    root: Path = Path("meps")
    """folder with samples/ and static/"""
    step: int = 3
    """hours between states"""

    @classmethod
    def preset(cls, name: str) -> "MEPS":
        """The published configuration in every preset."""
        return cls()

    def layout(self) -> Layout:
        """Sizes of the published data set, without the data."""
        return Layout((268, 238), (10, 10), len(VARIABLES), len(FORCINGS), len(STATICS), uniform=False)

    def files(self, splits: Sequence[str] = SPLITS) -> list[Path]:
        """The forecasts; `DataError` for a split that has none."""
        found: list[Path] = []
        for split in splits:
            folder = Path(self.root).expanduser() / "samples" / split
            files = sorted(p for p in folder.glob("nwp_*_mbr*.npy") if NAME.fullmatch(p.name))
            if not files:
                raise DataError(f"{folder}: no file nwp_YYYYMMDDHH_mbrMMM.npy; set root to the folder of the data set")
            found += files
        return found

    def load(self) -> WeatherData:
        """Open all files; values are checked when they are read."""
        if not 1 <= self.step <= HOURS // 3:
            raise UsageError(f"meps_npy: step {self.step} must be 1..{HOURS // 3} hours")
        root = Path(self.root).expanduser()
        static = root / "static"
        xy = _open(static / "nwp_xy.npy")
        if xy.ndim != 3 or xy.shape[0] != 2:
            raise DataError(f"{static / 'nwp_xy.npy'}: shape {xy.shape}, expected (2, y, x)")
        grid = xy.shape[1:]
        geopotential = _open(static / "surface_geopotential.npy", grid)
        border = _open(static / "border_mask.npy", grid).astype(bool)
        splits = {}
        for split in SPLITS:
            phases = self.step if split == "train" else 1
            samples = [_Sample(path, grid) for path in self.files((split,))]
            splits[split] = tuple(s.series(self.step, phase) for s in samples for phase in range(phases))
        layers = (*np.asarray(xy), geopotential, border)
        return WeatherData(
            train=splits["train"],
            val=splits["val"],
            test=splits["test"],
            static=np.stack(layers, -1).astype(np.float32),
            frame=_frame(border, static / "border_mask.npy"),
            names=tuple(VARIABLES),
            units=tuple(unit for unit, _ in VARIABLES.values()),
            long_names=tuple(name for _, name in VARIABLES.values()),
            forcing_names=FORCINGS,
            static_names=STATICS,
            step_hours=float(self.step),
            x=np.asarray(xy[0, 0], np.float64) / 1000,
            y=np.asarray(xy[1, :, 0], np.float64) / 1000,
            diurnal=True,
            source="meps_npy",
        )


@dataclass(frozen=True)
class _Sample:
    """One forecast of one member with its two companions."""

    path: Path
    grid: tuple[int, ...]

    @cached_property
    def begin(self) -> np.datetime64:
        year, month, day, hour, _ = NAME.fullmatch(self.path.name).groups()  # pyright: ignore[reportOptionalMemberAccess]
        return np.datetime64(f"{year}-{month}-{day}T{hour}", "s")

    def beside(self, stem: str) -> Path:
        return self.path.parent / f"{stem}_{self.path.name.split('_')[1]}.npy"

    def companion(self, stem: str, shape: tuple[int, ...]) -> np.ndarray:
        return _open(self.beside(stem), shape)

    @cached_property
    def stamps(self) -> tuple[str, str]:
        """Of the files of the states and of the forcing; empty where one is missing, which is told when it is read."""
        from genkit_weather.gridded import stamp

        several = [self.path], [self.beside(WATER), self.beside(SUN)]
        states, forcing = (
            " ".join(stamp(str(p)) for p in paths) if all(p.is_file() for p in paths) else "" for paths in several
        )
        return states, forcing

    def series(self, step: int, phase: int) -> Series:
        count = HOURS // step
        hours = phase + step * np.arange(count)
        time = self.begin + hours * np.timedelta64(3600, "s")

        def state(rows: np.ndarray) -> np.ndarray:
            file = _open(self.path, (HOURS, *self.grid, ON_DISK))
            out = np.asarray(file[hours[rows]], np.float32)[..., FEATURES]
            for place, row in enumerate(rows):
                span = slice(max(hours[row] - step + 1, 0), hours[row] + 1)
                out[place][..., RADIATION] = file[span][..., RADIATION].sum(0)
            return _finite(out, self.path, hours[rows], tuple(VARIABLES))

        def forcing(rows: np.ndarray) -> np.ndarray:
            water = self.companion(WATER, self.grid)
            toa = self.companion(SUN, (HOURS, *self.grid))[hours[rows]]
            around = (angles(time[rows])[:, None, None] + 1) / 2
            layers = (np.broadcast_to(water, toa.shape)[..., None], toa[..., None])
            out = np.concatenate([*layers, np.broadcast_to(around, (*toa.shape, 4))], -1).astype(np.float32)
            return _finite(out, self.path, hours[rows], FORCINGS)

        v, f = len(VARIABLES), len(FORCINGS)
        keys = [stamp and f"{stamp} step {step} phase {phase}" for stamp in self.stamps]
        return Series(
            Lazy((count, *self.grid, v), state, keys[0]),  # pyright: ignore[reportArgumentType]
            Lazy((count, *self.grid, f), forcing, keys[1]),  # pyright: ignore[reportArgumentType]
            time,
            issued=self.begin,
        )


def _open(path: Path, shape: tuple[int, ...] | None = None) -> np.ndarray:
    if not path.is_file():
        raise DataError(f"{path}: no such file; set --data.root to the folder with samples/ and static/")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise DataError(f"{path}: not a readable numpy file ({error})") from error
    if shape is not None and array.shape != shape:
        raise DataError(f"{path}: shape {array.shape}, expected {shape}")
    return array


def _finite(values: np.ndarray, path: Path, hours: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        t, y, x, v = bad[0]
        raise DataError(f"{path}: variable {names[v]} is not finite at hour {hours[t]}, y {y}, x {x}")
    return values


def _frame(border: np.ndarray, path: Path) -> tuple[int, int]:
    """The widths (fy, fx) of a border mask that is a frame."""
    rows, columns = np.flatnonzero(~border.all(1)), np.flatnonzero(~border.all(0))
    if not len(rows):
        raise DataError(f"{path}: all cells are border; no interior is left to predict")
    fy, fx = int(rows[0]), int(columns[0])
    frame = np.ones_like(border)
    frame[fy : border.shape[0] - fy, fx : border.shape[1] - fx] = False
    if not (frame == border).all():
        raise DataError(f"{path}: the border is not a frame of the same width on opposite sides")
    return fy, fx
