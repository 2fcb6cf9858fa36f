"""Files as archives write them: dates in pieces or as text, several times, valid ranges, names of ocean models."""

import numpy as np
import pytest
import xarray as xr
from own_files import HOURS, LAT, LON, STATE, TIME, H, T, W, usual, whole

from genkit.errors import DataError
from genkit_weather.datasets import Own, from_xarray


def test_a_start_and_lead_times_in_place_of_dates():
    """A dimension without a coordinate, as forecast_reference_time + forecast_period has it."""
    file = usual().drop_vars("time")
    after = "time", 6.0 * np.arange(T), {"units": "hours", "standard_name": "forecast_period"}
    for start in (TIME[0], ("time", np.full(T, TIME[0]))):
        data = from_xarray(file.assign_coords(forecast_period=after, forecast_reference_time=start), 2)
        np.testing.assert_array_equal(np.concatenate([s.time for (s,) in data.splits().values()]), TIME)
        np.testing.assert_array_equal(whole(data), STATE)


@pytest.mark.parametrize("written", ["{}", "{}Z", "b"])
def test_dates_as_text(written):
    texts = [str(t).replace("T", " ") if written == "b" else written.format(t) for t in TIME]
    values = np.array([t.encode() for t in texts] if written == "b" else texts, object)
    data = from_xarray(usual().assign_coords(time=("time", values)), 2)
    assert data.train[0].time[0] == TIME[0] and data.step_hours == 6
    with pytest.raises(DataError, match="time holds 'first', expected dates as 2020-01-01T06:00:00"):
        from_xarray(usual().assign_coords(time=("time", np.array(["first"] * T, object))), 2)


def test_a_time_without_a_value_is_refused():
    time = TIME.astype("datetime64[ns]")
    time[7] = np.datetime64("NaT")
    with pytest.raises(DataError, match="1 of 40 times have no value; drop them"):
        from_xarray(usual(time=time), 2)


def test_variables_along_times_of_their_own():
    """time1 of an amount lacks the first time, as of sums over a step; what does not change is in both."""
    file = usual().assign(lsm=(("lat", "lon"), STATE[0], {"units": "1"}))
    file["tp"] = ("time1", "lat", "lon"), STATE[1:] - 270, {"units": "kg m-2"}
    data = from_xarray(file.assign_coords(time1=("time1", TIME[1:])), 2)
    assert data.names == ("t2m", "tp") and "lsm" in data.static_names
    np.testing.assert_array_equal(whole(data), STATE[1:])
    np.testing.assert_array_equal(whole(data, 1), STATE[1:] - 270)


@pytest.mark.parametrize("of_packed", [True, False])
def test_values_outside_their_valid_range_are_none(tmp_path, of_packed):
    """Packed numbers, with a range of packed numbers or of values; the ends belong to it."""
    packed = np.clip(np.round((STATE - 280) / 1e-3), -2000, 2000).astype(np.int16)
    packed[:, 0, 0] = 2001
    limits = np.array([-2000, 2000], np.int16) if of_packed else np.array([278.0, 282.0])
    attrs = {"units": "K", "scale_factor": 1e-3, "add_offset": 280.0, "valid_range": limits}
    file = usual(packed, lon=LON + 350, **attrs)
    lat, lon = np.meshgrid(file["lat"], file["lon"], indexing="ij")
    places = {"lat": (("y", "x"), lat), "lon": (("y", "x"), lon)}
    file = file.rename(lat="y", lon="x").drop_vars(["y", "x"]).assign(places)
    file["lon"].attrs["valid_range"] = [-180.0, 180.0]  # of places it does not count
    file.to_netcdf(tmp_path / "own.nc", engine="h5netcdf", encoding={"time": HOURS})
    data = Own(str(tmp_path / "own.nc"), frame=2, mask=True).load()
    assert not data.mask[0, 0, 0] and data.mask.sum() == H * W - 1
    kept = whole(data)[:, data.mask[..., 0]]
    np.testing.assert_allclose(kept, np.clip(STATE, 278, 282)[:, data.mask[..., 0]], atol=6e-4)


def test_both_marks_of_missing_values(tmp_path):
    state = STATE.copy()
    state[:, 0, 0], state[:, 1, 1] = -999, 9.96921e36
    marks = {"missing_value": np.float32(-999), "_FillValue": np.float32(9.96921e36)}
    usual(state, **marks).to_netcdf(tmp_path / "own.nc", engine="h5netcdf")
    data = Own(str(tmp_path / "own.nc"), frame=2, mask=True).load()
    np.testing.assert_array_equal(np.argwhere(~data.mask[..., 0]), [[0, 0], [1, 1]])


@pytest.mark.parametrize("attrs", [{}, {"units": "Pa"}])
def test_levels_in_pascal(attrs):
    state = np.stack([STATE, STATE + 1], 1)
    file = usual().drop_vars("t2m").assign(t=(("time", "plev", "lat", "lon"), state, {"units": "K"}))
    data = from_xarray(file.assign_coords(plev=("plev", [85000.0, 50000], attrs)), 2)
    assert data.names == ("t_850", "t_500")


def test_names_of_ocean_models():
    file = usual(dims=("ocean_time", "eta_rho", "xi_rho")).drop_vars(["eta_rho", "xi_rho"])
    lat, lon = np.meshgrid(LAT, LON, indexing="ij")
    places = {"lat_rho": (("eta_rho", "xi_rho"), lat), "lon_rho": (("eta_rho", "xi_rho"), lon)}
    data = from_xarray(file.assign_coords(places), 2)
    np.testing.assert_array_equal(whole(data), STATE)
    np.testing.assert_allclose(data.lon[0], LON)


def test_a_variable_without_any_value_is_left_out():
    file = usual().assign(q_500=(("time", "lat", "lon"), np.full((T, H, W), np.nan), {"units": "1"}))
    data = from_xarray(file, 2)
    assert data.names == ("t2m",) and "q_500" not in data.static_names and "q_500 has no values" in data.notes


def test_members_by_names_and_files_in_any_order(tmp_path):
    order = np.random.default_rng(1).permutation(T)
    for i, j in enumerate(order):
        usual(STATE[j : j + 1], time=TIME[j : j + 1]).to_netcdf(tmp_path / f"{i:02d}.nc", engine="h5netcdf")
    np.testing.assert_array_equal(whole(Own(str(tmp_path), frame=2).load()), STATE)
    state = np.stack([STATE, STATE + 1])
    coords = {"member": ["r1i1p1", "r2i1p1"], "time": TIME, "lat": LAT, "lon": LON}
    data = from_xarray(xr.Dataset({"t2m": (tuple(coords), state, {"units": "K"})}, coords), 2)
    assert len(data.train) == 2
    np.testing.assert_array_equal(data.train[1].state, data.train[0].state + 1)


@pytest.mark.parametrize(("content", "said"), [
    (b"", "own.nc is empty"), (b"\x1f\x8b\x08", "packed by gzip"), (b"CDF\x05", "nccopy -k nc4"),
    (b"<!DOCTYPE html>", "of another kind: it begins with b'<!DO'"),
])  # fmt: skip
def test_files_of_other_kinds_are_named(tmp_path, content, said):
    (tmp_path / "own.nc").write_bytes(content)
    with pytest.raises(DataError, match=said):
        Own(str(tmp_path / "own.nc")).load()
