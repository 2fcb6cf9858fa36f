"""What the files of a forecast mean is what those of the training meant: wind, units, cells without values."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
import pytest
import xarray as xr

from genkit.errors import DataError
from genkit_weather.datasets import from_xarray
from genkit_weather.forecasting.inputs import at_times, forcing_of, given, open_file
from genkit_weather.gridded import to_xarray
from genkit_weather.lam import Formulation, domain_of
from genkit_weather.models import Area, WeatherModel

T, H, W = 40, 6, 7
TIME = np.datetime64("2020-06-01", "ns") + 6 * np.arange(T) * np.timedelta64(1, "h")
U, V, SEA, SNOW = np.random.default_rng(0).normal(size=(4, T, H, W)).astype(np.float32)
X, Y = np.meshgrid(np.arange(W), np.arange(H))
LAT, LON = 60 + 0.1 * Y + 0.05 * X, 10 + 0.2 * X - 0.1 * Y  # rows run to the north-east
BARE = X > 4
DIMS = ("time", "y", "x")


def file(celsius=False, said=""):
    """Wind that says nothing of its axes, a sea surface that has no value over land, snow without the right unit."""
    sea = np.where(BARE, np.nan, SEA + 280 - (273.15 if celsius else 0))
    wind = {"u10": (DIMS, U, {"units": "m s-1"}), "v10": (DIMS, V, {"units": "m s-1"})}
    given = {"sst": (DIMS, sea, {"units": "degC" if celsius else "K"}), "snow": (DIMS, SNOW, {"units": said})}
    return xr.Dataset(wind | given, {"time": TIME, "lat": (("y", "x"), LAT), "lon": (("y", "x"), LON)})


@pytest.fixture(scope="module")
def trained():
    """Data of a training and what a model knows of them."""
    given = {"forcing": ("sst", "snow"), "units": {"snow": "cm"}, "mask": True, "wind": "grid"}
    data = from_xarray(file(), frame=1, variables=("u10", "v10"), **given)
    return data, Area.of(data)


def test_wind_is_turned_as_in_training(trained, tmp_path):
    data, area = trained
    when = data.train[0].time
    assert np.abs(data.train[0].state[..., 0] - U[: len(when)]).max() > 0.1
    for name, source in (("raw", file()), ("turned", to_xarray(data, data.train[0]))):
        source.to_netcdf(tmp_path / f"{name}.nc", engine="h5netcdf")
        states = at_times(open_file(tmp_path / f"{name}.nc", area), area, when, name)
        np.testing.assert_allclose(states, data.train[0].state, atol=1e-6)
    with pytest.raises(DataError, match="mine has wind=file, but the model was trained with grid"):
        area.check(replace(area, wind="file"), "the model", "mine")


def test_forcing_is_converted_and_filled_as_in_training(trained, tmp_path):
    data, area = trained
    when, expected = data.train[0].time, data.train[0].forcing
    metres = file(celsius=True, said="m")
    metres["snow"] = metres["snow"] * 0.01
    metres["snow"].attrs["units"] = "m"
    for name, source in (("same", file()), ("other", metres), ("again", to_xarray(data, data.train[0]))):
        source.to_netcdf(tmp_path / f"{name}.nc", engine="h5netcdf")
        found = forcing_of(area, when, {name: open_file(tmp_path / f"{name}.nc", area)})
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    bare = file()
    del bare["sst"].attrs["units"]
    bare.to_netcdf(tmp_path / "bare.nc", engine="h5netcdf")
    with pytest.raises(DataError, match="sst has no units; the model was trained in 'K'"):
        forcing_of(area, when, {"bare": open_file(tmp_path / "bare.nc", area)})


@dataclass(frozen=True)
class Guess:
    """As much of a forecaster as its inputs are made of."""

    domain: Any


def test_a_model_that_looks_a_day_back_is_given_the_states_that_are_there(trained, tmp_path):
    data, start = replace(trained[0], test=trained[0].train), 12
    model = WeatherModel(Area.of(data), Guess(domain_of(data, Formulation("relaxed", anomalies=True))))
    assert model.domain.day == 4 and float(model.domain.yesterday.max()) > 0
    states, series = to_xarray(data, data.test[0]), data.test[0]
    states.isel(time=slice(start, start + 7)).to_netcdf(tmp_path / "boundary.nc")
    found = {}
    for name, back in (("day", 5), ("two", 1)):
        states.isel(time=slice(start - back, start + 1)).to_netcdf(tmp_path / f"{name}.nc")
        inputs = given(model, tmp_path / f"{name}.nc", tmp_path / "boundary.nc", 6)
        found[name] = inputs.notes, model.outlook(inputs.data, inputs.series, [inputs.start], 6)
    own = model.outlook(data, series, [start], 6)
    for a, b in zip(jax.tree.leaves(found["day"][1]), jax.tree.leaves(own), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert found["day"][0] == () and "4 of 6 are missing" in found["two"][0][0]
    for row, said in ((1, ""), (0, ""), (4, "not finite at 2020-06-03T18"), (5, "not finite at 2020-06-04T00")):
        holed = states.isel(time=slice(start - 5, start + 1)).copy(deep=True)
        holed["u10"].values[row, 3, 3] = np.nan
        holed.to_netcdf(tmp_path / f"{row}.nc")
        if said:
            with pytest.raises(DataError, match=said):
                given(model, tmp_path / f"{row}.nc", tmp_path / "boundary.nc", 6)
            continue
        inputs = given(model, tmp_path / f"{row}.nc", tmp_path / "boundary.nc", 6)
        assert "1 of 6 are missing or not finite" in inputs.notes[0]
        assert np.isnan(inputs.series.state[:6]).all((1, 2, 3)).tolist() == [i == row for i in range(6)]
    plain = replace(model, forecaster=Guess(replace(model.domain, yesterday=None))).outlook(data, series, [start], 6)
    after, moved, never = (o.climate[0, :, 2] for o in (found["two"][1], own, plain))
    same = [np.abs(after - other).max((1, 2, 3)) < 1e-4 for other in (moved, never)]
    # a day after the two states, and two days after them where that is the last time of the hour that is known
    assert same[0].tolist() == [False, False, True, True, False, False]
    assert same[1].tolist() == [True, True, False, False, True, True]
