"""Forecast own data: a NetCDF file behind a data set of ten lines.

    python examples/own_data.py

writes a small file, trains on it for a minute and leaves a run folder. With a file of your own it is one command,
in the folder of this script:

    genkit run weather.diffusion_lam --data own_data:OwnData --data.path my.nc --data.frame 3

An own network goes the same way: `--network own_module:MyNetwork`, a dataclass with `build(rngs, sizes)`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

import genkit
from genkit.errors import DataError
from genkit_weather.from_xarray import from_xarray


@dataclass(frozen=True)
class OwnData:
    """Variables (time, y, x) of a NetCDF file."""

    path: Path = Path("own.nc")
    frame: int = 4

    def load(self):
        """Weather data."""
        if not self.path.exists():
            raise DataError(f"{self.path} does not exist; give the NetCDF file with --data.path")
        return from_xarray(xr.load_dataset(self.path), self.frame, source=str(self.path))


def write_example(path: Path, times: int = 400) -> None:
    """A warm wave that travels east through a daily cycle, with the wind it brings."""
    hour, y, x = np.ogrid[0 : 6 * times : 6, 0:20, 0:24]
    noise = np.random.default_rng(0).normal(size=(times, 20, 24))
    wave = 2 * np.pi * (x / 24 - hour / 96)
    temperature = 280 - 0.5 * y + 3 * np.sin(wave) + 2 * np.sin(2 * np.pi * hour / 24) + 0.2 * noise
    wind = 5 * np.cos(wave) * np.cos(y / 10) + 0.2 * noise[::-1]
    dims = ("time", "y", "x")
    xr.Dataset(
        {"t2m": (dims, temperature, {"units": "K"}), "v": (dims, wind, {"units": "m/s"})},
        {"time": np.datetime64("2020-01-01", "ns") + hour.ravel() * np.timedelta64(1, "h"), "x": 50.0 * x.ravel(),
         "y": 50.0 * y.ravel()},
    ).to_netcdf(path, engine="h5netcdf")  # fmt: skip


def main(out: Path = Path("own_run"), **options: object) -> dict:
    """Write the file, train, verify; returns the results."""
    out.mkdir(exist_ok=True)
    write_example(out / "own.nc")
    data = OwnData(path=out / "own.nc")
    config = genkit.config("weather.diffusion_lam", preset="tiny", data=data, options=options)
    return genkit.run(config, out=out / "run").results


if __name__ == "__main__":
    for name, value in main().items():
        if name.startswith(("rmse/", "persistence.rmse/")):
            print(f"{name:<28} {value:.3f}")
