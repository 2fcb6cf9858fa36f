"""A boundary of a host model on another grid, with another step: linear fields are met exactly."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from genkit.errors import DataError
from genkit_weather.area import frame_of
from genkit_weather.forecasting.regrid import fitted
from genkit_weather.models import Area

BEGIN = np.datetime64("2020-01-01", "s")
WHEN = BEGIN + np.arange(4) * np.timedelta64(3, "h")


def area(h=9, w=8, **more):
    lat, lon = np.meshgrid(50 + 0.25 * np.arange(h), 5 + 0.3 * np.arange(w), indexing="ij")
    sizes = {"grid": (h, w), "frame": (2, 2), "step_hours": 3.0, "uniform": False}
    names = {"names": ("t",), "units": ("K",), "long_names": ("t",), "forcing_names": ()}
    return Area(**names, **sizes, lat=lat, lon=lon, **more)


def host(step=6, north=53.0, name="t", **attrs):
    """t = 280 + 2 lat - lon + hours on whole degrees, from the north, every `step` hours."""
    lat, lon, hours = np.arange(north, 48, -1), np.arange(4.0, 9), step * np.arange(3)
    values = 280 + 2 * lat[:, None] - lon + hours[:, None, None]
    grid = np.meshgrid(lat, lon, indexing="ij")
    coords = {"time": (BEGIN + hours * np.timedelta64(1, "h")).astype("datetime64[ns]")}
    coords |= {n: (("y", "x"), a) for n, a in zip(("latitude", "longitude"), grid, strict=True)}
    return xr.Dataset({name: (("time", "y", "x"), values, {"units": "K", **attrs})}, coords)


@pytest.mark.parametrize("unit", ["ns", "s"])  # of the times: files that are read have either
def test_linear_fields_are_met_exactly(unit):
    own, file = area(), host()
    made = fitted(file.assign_coords(time=file["time"].astype(f"datetime64[{unit}]")), own, WHEN, "host.nc")
    expected = 280 + 2 * own.lat - own.lon + 3 * np.arange(4)[:, None, None]
    np.testing.assert_allclose(made["t"].sel(time=WHEN.astype("datetime64[ns]")), expected, rtol=1e-6)
    assert made["t"].attrs["units"] == "K"


def test_the_own_grid_stays_as_it_is():
    own = area()
    file = fitted(host(3), own, WHEN[:3], "host.nc")
    assert fitted(file, own, WHEN[:3], "own.nc") is file
    south = file.isel(y=slice(None, None, -1))
    assert fitted(south, own, WHEN[:3], "own.nc") is south


def test_wind_is_interpolated_as_eastward_and_northward():
    """A host whose rows run north-east: its x_wind of 1 is (1, 1) / sqrt(2) of the earth and of an unturned grid."""
    own = area(wind="grid")
    along, across = np.meshgrid(np.arange(-12, 13), np.arange(-12, 13))
    lat = 51 + (along + across) * 0.25
    lon = 6 + (along - across) * 0.25 / np.cos(np.deg2rad(lat))
    one = np.ones((1, *lat.shape), np.float32)
    names = {"u10": ("x_wind", one), "v10": ("y_wind", 0 * one)}
    fields = {n: (("time", "y", "x"), a, {"standard_name": s}) for n, (s, a) in names.items()}
    coords = {"time": WHEN[:1].astype("datetime64[ns]"), "latitude": (("y", "x"), lat), "longitude": (("y", "x"), lon)}
    made = fitted(xr.Dataset(fields, coords), own, WHEN[:1], "host.nc")
    for name in ("u10", "v10"):
        cells = frame_of(made[name].values[0, :, :, None], own.frame)
        np.testing.assert_allclose(cells, 0.5**0.5, atol=0.02)
    assert made["u10"].attrs["standard_name"] == "x_wind"


def test_wind_as_in_files_needs_an_upright_grid():
    """On it components along the grid are those of the earth; on a turned one nobody knows what the model has."""
    one = host(3).rename(t="u10").assign_coords()
    one = one.assign(v10=one["u10"])
    one = one.assign({n: one[n].assign_attrs(standard_name=s) for n, s in
                      (("u10", "eastward_wind"), ("v10", "northward_wind"))})  # fmt: skip
    made = fitted(one, area(), WHEN[:3], "host.nc")
    assert np.isfinite(made["u10"]).all()
    own = area()
    with pytest.raises(DataError, match="train with --data.wind earth"):
        fitted(one, replace(own, lat=own.lat + 0.01 * (own.lon - 5)), WHEN[:3], "host.nc")


def test_what_does_not_cover_or_cannot_be_cut():
    with pytest.raises(DataError, match="host.nc does not cover 16 of 52 cells of the frame; give a larger area"):
        fitted(host(north=51.6), area(), WHEN, "host.nc")
    with pytest.raises(DataError, match="host.nc: tp is a sum over 6 h, which cannot be cut; give it at 2020-01-01T03"):
        fitted(host(name="tp", cell_methods="time: sum"), area(), WHEN, "host.nc")
