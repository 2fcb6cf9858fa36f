"""Forecast own data with an own network: a NetCDF file behind a data set of ten lines, and a network of as many.

    python examples/own_data.py

writes a small file, trains on it for a minute and leaves a run folder. With a file of your own it is one command,
in the folder of this script:

    genkit run weather.diffusion_lam --data own_data:OwnData --data.path my.nc --data.frame 3

and with the network of your own `--network own_data:OwnNetwork --network.width 48`.
"""

from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import xarray as xr
from flax import nnx

import genkit
from genkit.errors import DataError
from genkit_weather.datasets import from_xarray


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


@dataclass(frozen=True)
class OwnNetwork:
    """Two convolutions of the noisy target, the conditioning and the noise level."""

    width: int = 32

    def build(self, rngs, sizes):
        """The module of `OwnModule`, for a domain of these `genkit_weather.networks.unet.Sizes`."""
        return OwnModule(self.width, sizes, rngs)


class OwnModule(nnx.Module):
    """F(x (n, h, w, V), c_noise (n,), conditioning) -> (n, h, w, V)."""

    def __init__(self, width, sizes, rngs):
        self.first = nnx.Conv(sizes.outputs + sizes.interior + 1, width, (3, 3), rngs=rngs)
        self.last = nnx.Conv(width, sizes.outputs, (3, 3), rngs=rngs)

    def __call__(self, x, c_noise, cond):
        """Predict the raw output."""
        level = jnp.broadcast_to(c_noise[:, None, None, None], (*x.shape[:3], 1))
        return self.last(nnx.silu(self.first(jnp.concatenate([x, cond.interior, level], -1))))


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
    own = {"data": OwnData(path=out / "own.nc"), "network": OwnNetwork()}
    config = genkit.config("weather.diffusion_lam", preset="tiny", options={**own, **options})
    return genkit.run(config, out=out / "run").results


if __name__ == "__main__":
    for name, value in main().items():
        if name.startswith(("rmse/", "persistence.rmse/")):
            print(f"{name:<28} {value:.3f}")
