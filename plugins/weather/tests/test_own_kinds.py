"""Files as archives write them: dates in pieces or as text, several times, valid ranges, names of ocean models."""

import numpy as np
import pytest
import xarray as xr
from own_files import HOURS, LAT, LON, STATE, TIME, H, T, W, usual, whole

from genkit.errors import DataError
from genkit_weather.datasets import Own, from_xarray
from genkit_weather.gridded import understood
from genkit_weather.gridded.fields import fields
from genkit_weather.gridded.times import dates


def test_a_start_and_lead_times_in_place_of_dates():
    """A dimension without a coordinate, as forecast_reference_time + forecast_period has it."""
    file = usual().drop_vars("time")
    after = "time", 6.0 * np.arange(T), {"units": "hours", "standard_name": "forecast_period"}
    for start in (TIME[0], ("time", np.full(T, TIME[0]))):
        data = from_xarray(file.assign_coords(forecast_period=after, forecast_reference_time=start), 2)
        np.testing.assert_array_equal(np.concatenate([s.time for (s,) in data.splits().values()]), TIME)
        np.testing.assert_array_equal(whole(data), STATE)


@pytest.mark.parametrize("along", [True, False])
@pytest.mark.parametrize("dated", [True, False])
def test_forecasts_of_a_start_and_lead_times_stay_forecasts(along, dated):
    """Three that overlap, not one series that jumps between them; the start is a scalar or along the times."""
    files = []
    for i in range(3):
        start, steps = TIME[4 * i], 6.0 * np.arange(8)
        file = usual(STATE[:8] + 100 * i, time=start + steps.astype("timedelta64[h]"))
        file = file.assign_coords(
            forecast_reference_time=("time", np.full(8, start)) if along else start,
            forecast_period=("time", steps, {"units": "hours", "standard_name": "forecast_period"}),
        )
        files.append((f"{i}.nc", file if dated else file.drop_vars("time")))
    found = understood(files)
    assert found["t2m"].dims == ("start", "step", "y", "x")
    np.testing.assert_array_equal(found["start"], TIME[[0, 4, 8]])
    np.testing.assert_array_equal(found["t2m"], STATE[:8] + 100 * np.arange(3)[:, None, None, None])


def test_a_start_of_a_calendar_without_leap_days():
    """6 h after 28 February 18 h it is March; the forecast begins in the calendar that its times are counted in."""
    import cftime

    start = cftime.DatetimeNoLeap(2020, 2, 28, 18)
    after = "time", [0.0, 6.0], {"units": "hours"}
    file = usual(STATE[:2], time=TIME[:2]).drop_vars("time")
    found = fields(file.assign_coords(forecast_reference_time=start, forecast_period=after), "mine")
    np.testing.assert_array_equal(found["passed"] - found["begun"], [0, 6 * 3600])
    assert str(found["time"].values[1])[:19] == "2020-03-01T00:00:00"


def test_lead_times_along_a_dimension_of_steps():
    file = usual(STATE[:8], time=TIME[:8]).drop_vars("time").rename(time="lead")
    after = "lead", 6.0 * np.arange(8), {"units": "hours"}
    found = understood([("mine", file.assign_coords(forecast_period=after, forecast_reference_time=TIME[0]))])
    np.testing.assert_array_equal(found["time"], TIME[:8])


@pytest.mark.parametrize("written", ["{}", "{}Z", "b"])
def test_dates_as_text(written):
    texts = [str(t).replace("T", " ") if written == "b" else written.format(t) for t in TIME]
    values = np.array([t.encode() for t in texts] if written == "b" else texts, object)
    data = from_xarray(usual().assign_coords(time=("time", values)), 2)
    assert data.train[0].time[0] == TIME[0] and data.step_hours == 6
    for wrong in ("first", "202001", "20201301", "2020010", "12020-01-01"):
        values[-1] = wrong
        with pytest.raises(DataError, match=f"time holds '{wrong}', expected dates as 2020-01-01T06:00:00"):
            from_xarray(usual().assign_coords(time=("time", values)), 2)


def test_compact_dates_as_text():
    texts = ["20200501", "2020050106", "20200501T0630", "20200501T06:30Z", "20200501 063015"]
    stamps, _ = dates(np.array(texts, object), "mine")
    clocks = "00:00:00", "06:00:00", "06:30:00", "06:30:00", "06:30:15"
    np.testing.assert_array_equal(stamps, np.array([f"2020-05-01T{c}" for c in clocks], "datetime64[s]"))


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


def test_a_variable_along_two_times_at_once_is_left_out():
    file = usual().assign(q=(("time", "valid_time", "lat", "lon"), np.zeros((T, 2, H, W)), {"units": "1"}))
    data = from_xarray(file.assign_coords(valid_time=TIME[:2]), 2)
    assert data.names == ("t2m",) and "q is along time and valid_time at once and left out" in data.notes
    days = xr.Dataset(
        {"t2m": (("date", "time", "lat", "lon"), STATE.reshape(T // 4, 4, H, W), {"units": "K"})},
        {"date": TIME[::4], "time": [0, 6, 12, 18], "lat": LAT, "lon": LON},
    )
    with pytest.raises(DataError, match="mine: each variable is along date and time at once"):
        from_xarray(days, 2, source="mine")


def test_ends_of_valid_ranges_as_lists_and_reversed(tmp_path):
    for i, attrs in enumerate(({"valid_min": [100.0]}, {"valid_range": [400.0, 100.0]}, {"valid_max": np.nan})):
        usual(**{"units": "K", **attrs}).to_zarr(tmp_path / f"{i}.zarr", zarr_format=2)
        np.testing.assert_array_equal(whole(Own(str(tmp_path / f"{i}.zarr"), frame=2).load()), STATE)
    usual(units="K", valid_max=[float(STATE.max()) - 1e-3]).to_zarr(tmp_path / "cut.zarr", zarr_format=2)
    with pytest.raises(DataError, match=r"no value \(NaN\) of t2m at 1 \(or beyond its valid_max\) of"):
        Own(str(tmp_path / "cut.zarr"), frame=2).load()
    usual(units="K", valid_max=1.0).to_zarr(tmp_path / "all.zarr", zarr_format=2)
    with pytest.raises(DataError, match=r"t2m has no values \(or beyond its valid_max\)"):
        Own(str(tmp_path / "all.zarr"), frame=2).load()


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


def test_a_range_of_packed_numbers_that_arithmetic_has_left_behind(tmp_path):
    """Thousandths of K are beyond -500..500, the range of the numbers as they were packed."""
    packed = np.clip(np.round((STATE - 280) / 0.01), -500, 500).astype(np.int16)
    attrs = {"units": "K", "scale_factor": "0.01", "add_offset": "280", "valid_range": np.array([-500, 500], np.int16)}
    file = usual(packed, **attrs)
    before = dict(file["t2m"].attrs)
    values = whole(from_xarray(file, 2))
    assert file["t2m"].attrs == before  # of the caller
    numbers = file["t2m"].assign_attrs(scale_factor=0.01, add_offset=280.0)
    file.assign(t2m=numbers).to_netcdf(tmp_path / "own.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "own.nc", engine="h5netcdf") as opened, xr.set_options(keep_attrs=True):
        np.testing.assert_allclose(whole(from_xarray(opened, 2)), values, rtol=1e-6)
        np.testing.assert_allclose(whole(from_xarray(opened * 1e3, 2)), 1e3 * values, rtol=1e-6)


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
