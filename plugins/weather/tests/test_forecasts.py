"""Forecast files: what is written is read, and what is missing is known."""

import shutil
import subprocess

import numpy as np
import pytest
from pyproj import CRS

from genkit_weather.forecasting.files import ForecastFile, dataset, read
from genkit_weather.gridded import opened

STARTS = np.array(["2001-01-01T06", "2001-01-03"], "datetime64[s]")
LEADS = [1, 2, 3]


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_pieces_are_read_as_the_whole(toy_data, tmp_path, suffix):
    data, path = toy_data(), tmp_path / f"f.{suffix}"
    values = np.random.default_rng(0).standard_normal((2, 3, 4, 5, 6, 2)).astype(np.float32)
    with ForecastFile(path, data, STARTS, LEADS, 4) as file:
        for k in range(3):
            file.write(slice(0, 1), slice(k, k + 1), slice(0, 4), values[:1, k : k + 1])
        assert file.filled(slice(0, 1), slice(0, 4)) and not file.filled(slice(1, 2), slice(0, 4))
    with ForecastFile(path, data, STARTS, LEADS, 4) as file:  # an interrupted forecast goes on
        assert file.filled(slice(0, 1), slice(0, 4)) and not file.filled(slice(0, 2), slice(0, 4))
        file.write(slice(1, 2), slice(0, 3), slice(0, 4), values[1:])
    with read(path) as found:
        np.testing.assert_array_equal(found["a"].values, values[..., 0])
        np.testing.assert_array_equal(found["b"].values, values[..., 1])
        np.testing.assert_array_equal(found["lead"].values, [6.0, 12.0, 18.0])
        assert (found["start"].values == STARTS).all()
        assert found["a"].attrs["units"] == "K" and found.attrs["Conventions"].startswith("CF-")
        assert found["lead"].attrs["standard_name"] == "forecast_period"


def test_a_torn_or_different_file_is_begun_again(toy_data, tmp_path):
    path = tmp_path / "f.nc"
    path.write_bytes(b"torn")
    with ForecastFile(path, toy_data(), STARTS, LEADS, 4) as file:
        file.write(slice(0, 2), slice(0, 3), slice(0, 4), np.zeros((2, 3, 4, 5, 6, 2)))
    with ForecastFile(path, toy_data(), STARTS, LEADS, 5) as file:
        assert not file.filled(slice(0, 1), slice(0, 5))


def test_arrays_as_datasets_have_the_coordinates_of_files(toy_data, tmp_path):
    data = toy_data()
    values = np.zeros((2, 3, 4, 5, 6, 2), np.float32)
    with ForecastFile(tmp_path / "f.nc", data, STARTS, LEADS, 4) as file:
        file.write(slice(0, 2), slice(0, 3), slice(0, 4), values)
    with read(tmp_path / "f.nc") as found:
        made = dataset(values, data, STARTS, LEADS)
        assert set(found.coords) == set(made.coords)
        for name in found.coords:
            np.testing.assert_array_equal(found[name].values, made[name].values)
    assert "member" not in dataset(values[:, :, 0], data, STARTS, LEADS).coords


LAMBERT = CRS.from_dict({"proj": "lcc", "lat_1": 63.3, "lat_0": 63.3, "lon_0": 15, "R": 6371000})
ROTATED = CRS.from_cf({"grid_mapping_name": "rotated_latitude_longitude", "grid_north_pole_latitude": 39.25,
                       "grid_north_pole_longitude": -162.0})  # fmt: skip


def placed(toy_data, crs, step):
    """Toy data on rows and columns of a projection, `step` (km or degrees) apart, and these."""
    from pyproj import Transformer

    x, y = step * np.arange(6.0), step * np.arange(5.0)
    metres = 1000 if crs is LAMBERT else 1
    lon, lat = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(*np.meshgrid(metres * x, metres * y))
    known = {"x": x, "y": y} if crs is LAMBERT else {}
    names = ("air_temperature", "")
    return toy_data(lat=lat, lon=lon, crs=crs.to_wkt(), standard_names=names, **known), x, y


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
@pytest.mark.parametrize(
    "crs, step, axis", [(LAMBERT, 10.0, "projection_x_coordinate"), (ROTATED, 0.1, "grid_longitude")]
)
def test_files_say_where_and_when_they_hold(toy_data, tmp_path, crs, step, axis, suffix):
    data, x, y = placed(toy_data, crs, step)
    path, values = tmp_path / f"f.{suffix}", np.ones((2, 3, 4, 5, 6, 2), np.float32)
    with ForecastFile(path, data, STARTS, LEADS, 4) as file:
        file.write(slice(0, 2), slice(0, 3), slice(0, 4), values)
    with read(path) as found:
        assert set(found.data_vars) == {"a", "b"} and found["a"].encoding["grid_mapping"] == "crs"
        assert found["a"].attrs["standard_name"] == "air_temperature" and "standard_name" not in found["b"].attrs
        assert found["x"].attrs["standard_name"] == axis
        np.testing.assert_allclose(found["x"], x, atol=1e-9)
        np.testing.assert_allclose(found["y"], y, atol=1e-9)
        hours = np.array([6, 12, 18]) * np.timedelta64(1, "h")
        np.testing.assert_array_equal(found["valid_time"], STARTS[:, None] + hours)
        assert CRS.from_cf(found["crs"].attrs).equals(crs, ignore_axis_order=True)
    if suffix == "nc":
        again = opened(str(path))  # as any other file
        assert again.sizes == {"member": 4, "start": 2, "step": 3, "y": 5, "x": 6}
        np.testing.assert_allclose(again["latitude"], data.lat)


@pytest.mark.skipif(shutil.which("compliance-checker") is None, reason="needs the package compliance-checker")
def test_an_independent_checker_of_cf_has_no_complaint(toy_data, tmp_path):
    data, _, _ = placed(toy_data, LAMBERT, 10.0)
    with ForecastFile(tmp_path / "f.nc", data, STARTS, LEADS, 4) as file:
        file.write(slice(0, 2), slice(0, 3), slice(0, 4), np.ones((2, 3, 4, 5, 6, 2), np.float32))
    command = ["compliance-checker", "--test=cf:1.9", "--criteria=lenient", str(tmp_path / "f.nc")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
