"""Stores laid out as WeatherBench2's, written here."""

import numpy as np
import pytest
import xarray as xr

from genkit.errors import DataError, UsageError
from genkit_weather.area.forcings import standard_forcing
from genkit_weather.data import check, statistics
from genkit_weather.datasets.weatherbench2 import LEVELS, VARIABLES, WeatherBench2

T, LON, LAT = 40, 12, 7
TIME = np.datetime64("2020-01-01T00", "ns") + np.arange(T) * np.timedelta64(6, "h")
RNG = np.random.default_rng(0)
UPPER, T2M = RNG.standard_normal((T, 3, LON, LAT)), 280 + RNG.standard_normal((T, LON, LAT))
OPTIONS = {
    "variables": ("temperature", "2m_temperature"),
    "levels": (850, 500),
    "train": ("2020-01-01", "2020-01-06"),
    "val": ("2020-01-07", "2020-01-08"),
    "test": ("2020-01-09", "2020-01-10"),
}


@pytest.fixture
def store(tmp_path):
    """Path of a small store, latitudes from the south as in the original."""
    dims = ("time", "longitude", "latitude")
    file = xr.Dataset(
        {
            "temperature": ((dims[0], "level", *dims[1:]), UPPER, {"units": "K", "long_name": "Temperature"}),
            "2m_temperature": (dims, T2M, {"units": "K"}),
            "land_sea_mask": (dims[1:], RNG.random((LON, LAT))),
        },
        {
            "time": TIME,
            "level": [500, 700, 850],
            "longitude": 30.0 * np.arange(LON),
            "latitude": 30.0 * np.arange(LAT) - 90,
        },
    )
    file.to_zarr(tmp_path / "wb2.zarr", zarr_format=2)
    return str(tmp_path / "wb2.zarr")


def test_the_globe_as_published():
    assert len(LEVELS) * 6 + len(VARIABLES) - 6 == 83  # six variables on levels


def test_values_find_their_cells(store):
    data = check(WeatherBench2(store, **OPTIONS).load())
    assert data.grid == (LAT, LON) and data.names == ("temperature_850", "temperature_500", "2m_temperature")
    assert data.long_names[0] == "Temperature at 850 hPa" and data.step_hours == 6 and data.frame == (0, 0)
    assert data.lat[0, 0] == -90 and data.lon[0, 5] == 150
    assert [len(s[0]) for s in data.splits().values()] == [24, 8, 8]
    state = data.val[0].state[[0, 3]]
    np.testing.assert_allclose(state[1, 2, 5, 0], UPPER[27, 2, 5, 2], rtol=1e-6)
    np.testing.assert_allclose(state[..., 2], T2M[[24, 27]].swapaxes(1, 2), rtol=1e-6)
    assert statistics(data).mean[2] == pytest.approx(T2M[:24].mean(), abs=1e-4)
    forcing = standard_forcing(data.test[0].time[2:3], data.lat, data.lon)
    np.testing.assert_allclose(data.test[0].forcing[2:3], forcing, atol=1e-4)
    assert data.static_names == ("lat", "cos_lon", "sin_lon", "land_sea_mask")


def test_a_region_across_greenwich_with_a_longer_step(store):
    data = WeatherBench2(store, **OPTIONS, region=(-30, 60, -60, 30), step=12, frame=1).load()
    np.testing.assert_array_equal(data.lat[:, 0], [-30, 0, 30, 60])
    np.testing.assert_allclose(data.lon[0], [-60, -30, 0, 30])
    assert data.frame == (1, 1) and data.step_hours == 12 and [len(s) for s in data.train] == [12, 12]
    np.testing.assert_allclose(data.train[0].state[1, 1, 0, 2], T2M[2, 10, 3], rtol=1e-6)


def test_faults_are_named(store, tmp_path):
    for change, error, message in [
        ({"path": str(tmp_path / "none")}, DataError, "none: no such file"),
        ({"variables": ("dust",)}, UsageError, "variables names dust, but .* has .*temperature_850"),
        ({"levels": (500, 10)}, DataError, "no variable has a level 10; found"),
        ({"region": (60, -30, 0, 10)}, UsageError, "expected south < north"),
        ({"region": (0, 1, 0, 1)}, DataError, "fewer than 2 x 2 cells"),
        ({"test": ("2021-01-01", "2021-02-01")}, DataError, "split test .* has no 3 states in a row"),
        ({"step": 4}, UsageError, "step=4 h is no multiple"),
        ({"frame": 4}, DataError, "leaves no interior"),
        ({"path": "nonsense://there"}, DataError, "nonsense://there: "),
    ]:
        with pytest.raises(error, match=message):
            WeatherBench2(**{"path": store, **OPTIONS, **change}).load()
