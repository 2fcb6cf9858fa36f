"""Forecast files: what is written is read, and what is missing is known."""

import numpy as np
import pytest

from genkit_weather.forecasting.files import ForecastFile, dataset, read

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
