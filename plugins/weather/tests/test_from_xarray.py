"""Own data from xarray: names, dimensions, splits, errors."""

import numpy as np
import pytest
import xarray as xr

from genkit.errors import DataError, UsageError
from genkit_weather.from_xarray import from_xarray

TIME = np.datetime64("2020-06-01", "ns") + 6 * np.arange(40) * np.timedelta64(1, "h")
STATE = np.random.default_rng(0).normal(size=(40, 10, 12)).astype(np.float32)


def file(dims=("time", "y", "x"), **coords):
    array = xr.DataArray(STATE, dims=("time", *dims[1:]), attrs={"units": "K", "long_name": "temperature"})
    return xr.Dataset({"t": array, "q": (array.dims, 2 * STATE)}, {"time": TIME, **coords})


def test_variables_splits_and_grid():
    x = xr.DataArray(1000.0 * np.arange(12), dims="x", attrs={"units": "m"})
    data = from_xarray(file(x=x, y=np.arange(10.0)).assign(height=(("y", "x"), STATE[0])), frame=2)
    assert data.names == ("t", "q") and data.units == ("K", "1") and data.long_names[0] == "temperature"
    assert [len(s) for (s,) in data.splits().values()] == [28, 4, 8]
    np.testing.assert_array_equal(np.concatenate([s.state for (s,) in data.splits().values()])[..., 1], 2 * STATE)
    assert data.frame == (2, 2) and data.step_hours == 6.0 and data.diurnal and data.lat is None
    assert data.static_names == ("row", "column", "height")
    np.testing.assert_array_equal(data.static[..., 2], STATE[0])
    np.testing.assert_array_equal(data.x, np.arange(12.0))
    assert data.train[0].forcing.shape == (28, 1, 1, 4)
    np.testing.assert_allclose(data.train[0].forcing[1, 0, 0, :2], [1, 0], atol=1e-6)  # 6 h: a quarter of the day


@pytest.mark.parametrize("dims", [("lat", "lon"), ("latitude", "longitude")])
def test_latitudes_give_sunshine(dims):
    lat, lon = np.linspace(40, 50, 10), np.linspace(0, 11, 12)
    data = from_xarray(file(("time", *dims), **dict(zip(dims, (lat, lon), strict=True))))
    np.testing.assert_array_equal(data.lat[:, 3], lat)
    np.testing.assert_array_equal(data.lon[3], lon)
    assert data.forcing_names[0] == "toa_radiation" and data.train[0].forcing.shape == (28, 10, 12, 5)
    sun = data.train[0].forcing[..., 0]
    assert sun[2].min() > 1000 and sun[0].max() < 100  # noon and midnight in June


def test_columns_before_rows_and_curved_grids():
    turned = file(y=np.arange(10.0)).transpose("time", "x", "y")
    np.testing.assert_array_equal(from_xarray(turned).train[0].state[..., 0], STATE[:28])
    lat = np.linspace(40, 50, 120).reshape(10, 12)
    data = from_xarray(file(lat=(("y", "x"), lat), lon=(("y", "x"), lat)))
    np.testing.assert_array_equal(data.lat, lat)


def broken(change):
    some = file()
    some["t"].values[5, 3, 2] = np.nan if change == "nan" else some["t"].values[5, 3, 2]
    return {
        "nan": some,
        "no time": xr.Dataset({"a": (("y", "x"), STATE[0])}),
        "numbers": file().assign_coords(time=np.arange(40)),
        "gap": file().isel(time=[*range(20), *range(21, 40)]),
        "short": file().isel(time=slice(5)),
        "level": file().assign(u=(("time", "level", "y", "x"), STATE[:, None])),
        "flat": xr.Dataset({"a": (("time",), STATE[:, 0, 0])}, {"time": TIME}),
        "frame": file(),
    }[change]


@pytest.mark.parametrize(
    "change, message",
    [
        ("nan", "mine: train series 0: variable t is not finite at time 5, y 3, x 2"),
        ("no time", r"mine: no variable has a dimension 'time'; found a \('y', 'x'\)"),
        ("numbers", "mine: time must be a coordinate of dates"),
        ("gap", "mine: 39 times, the step changes at index 20"),
        ("short", "mine: 5 times"),
        ("level", r"mine: variable u has dimensions .*level.*, expected .*; drop it"),
        ("flat", r"mine: variable a has dimensions \('time',\); expected time, rows and columns"),
        ("frame", "leaves no interior"),
    ],
)
def test_wrong_data(change, message):
    with pytest.raises(DataError, match=message) as caught:
        from_xarray(broken(change), frame=9 if change == "frame" else 2, source="mine")
    assert "\n" not in str(caught.value)


def test_wrong_shares():
    with pytest.raises(UsageError, match="split="):
        from_xarray(file(), split=(0.9, 0.1))
