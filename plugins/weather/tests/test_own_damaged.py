"""Files that are damaged, odd or beside each other: what is left out is told, what cannot be read is named."""

import errno

import numpy as np
import pytest
import xarray as xr
from own_files import HOURS, LAT, LON, STATE, TIME, H, T, W, usual, whole

from genkit.errors import DataError
from genkit_weather.datasets import Own, from_xarray
from genkit_weather.gridded import files, opened, paths_of, readable, understood
from genkit_weather.gridded.times import dates, jitter


def stored(folder, name="own.nc", file=None, **options):
    """A file; small, so that it is quickly read."""
    (usual() if file is None else file).to_netcdf(folder / name, engine="h5netcdf", **options)
    return str(folder / name)


@pytest.mark.parametrize("kept", ["time", "step", ""])
def test_valid_times_along_starts_and_steps(kept):
    """Forecasts whose only dates are valid_time (time, step)."""
    state, start, step = STATE.reshape(10, 4, H, W), TIME[::4], 6.0 * np.arange(4)
    coords = {"valid_time": (("time", "step"), start[:, None] + step.astype("timedelta64[h]")), "lat": LAT, "lon": LON}
    coords |= {"time": start} if kept == "time" else {"step": ("step", step, {"units": "hours"})} if kept else {}
    found = understood([("mine", xr.Dataset({"t2m": (("time", "step", "lat", "lon"), state, {"units": "K"})}, coords))])
    np.testing.assert_array_equal(found["start"], start)
    np.testing.assert_array_equal(found["step"], 3600 * step)
    np.testing.assert_array_equal(found["t2m"], state)


def test_dates_that_no_variable_calls_its_coordinate():
    file = usual().drop_vars("time").rename(time="Time").assign(XTIME=("Time", TIME))
    np.testing.assert_array_equal(whole(from_xarray(file, 2)), STATE)


@pytest.mark.parametrize(("zone", "hours"), [("+02:00", -2), ("-0530", 5.5), (" UTC", 0), ("Z", 0)])
def test_zones_of_dates_as_text(zone, hours):
    stamps, _ = dates(np.array([f"2020-06-01T12:00{zone}", f"20200601T1200{zone}"], object), "mine")
    np.testing.assert_array_equal(stamps, np.datetime64("2020-06-01T12:00:00") + np.timedelta64(int(60 * hours), "m"))


def test_times_of_32_bit_days_are_equal_steps():
    """Hours as days since 2000 in float32 miss by up to 21 s; offsets and gaps stay as they are."""
    days = (7300 + 1 / 3 + np.arange(T) / 24).astype(np.float32)
    time = np.datetime64("2000-01-01", "ns") + (days.astype(float) * 86400e9).astype("timedelta64[ns]")
    data = from_xarray(usual(time=time), 2)
    assert data.step_hours == 1 and str(data.train[0].time[0]) == "2019-12-27T08:00:00"
    assert any("times that miss equal steps by up to" in note for note in data.notes)
    assert (
        whole(from_xarray(usual(time=time).assign_coords(step=((), 0.0, {"units": "hours"})), 2)).shape == STATE.shape
    )
    for count in (1, 2):  # as files of so many times
        parts = [("mine", usual(STATE[i : i + count], time=time[i : i + count])) for i in range(0, T, count)]
        found = understood(parts)
        np.testing.assert_array_equal(
            found["time"], np.datetime64("2019-12-27T08") + np.arange(T) * np.timedelta64(1, "h")
        )
        np.testing.assert_array_equal(np.diff(found["passed"]), 3600)
        assert len(found.attrs["notes"]) == 1
    assert not jitter(1800 + 21600 * np.array([0, 1, 2, 5, 6])).any()
    assert not jitter(np.array([0, 3600, 9000, 20000])).any()


def test_fill_values_among_dates_are_refused():
    time = TIME.astype("datetime64[s]")
    time[3] = np.datetime64("-242964-08-23", "s")
    with pytest.raises(DataError, match="mine: 1 of 40 times are as -242964.*, a fill value; drop them"):
        dates(time, "mine")


@pytest.mark.parametrize(("units", "calendar"), [("months since 2020-01-01", "standard"), (HOURS["units"], "360")])
def test_units_and_calendars_that_are_none(tmp_path, units, calendar):
    time = "time", np.arange(T), {"units": units, "calendar": calendar}
    path = stored(tmp_path, file=usual(time=np.arange(T)).assign_coords(time=time))
    with pytest.raises(DataError, match=f"own.nc: times '{units}' with .* are no dates; expected 'hours since"):
        Own(path).load()


def test_files_that_cannot_be_read_are_left_out(tmp_path):
    content = (tmp_path / stored(tmp_path, "a.nc")).read_bytes()
    (tmp_path / "b.nc").write_bytes(content[:5000])
    (tmp_path / "._a.nc").write_bytes(b"hidden")
    data = Own(str(tmp_path), frame=2).load()
    assert "left out 1 of 2 files: cannot read" in data.notes[0] and "b.nc" in data.notes[0] and len(data.notes) == 1
    np.testing.assert_array_equal(whole(data), STATE)
    stored(tmp_path, "a.nc", usual(STATE[:12], time=TIME[:12]))  # too few without the other
    with pytest.raises(DataError, match="no 3 states in a row.*; left out 1 of 2 files: cannot read .*b.nc"):
        Own(str(tmp_path)).load()
    (tmp_path / "a.nc").write_bytes(b"x")
    with pytest.raises(DataError, match="none of 2 files can be read: .*a.nc is of another kind"):
        Own(str(tmp_path)).load()


@pytest.mark.parametrize("fault", [
    PermissionError(errno.EACCES, "Permission denied"), OSError(errno.EMFILE, "Too many open files"),
    ImportError("no h5netcdf"), ValueError("unrecognized engine 'h5netcdf' must be one of"),
], ids=repr)  # fmt: skip
def test_faults_of_the_machine_leave_no_file_out(tmp_path, monkeypatch, fault):
    (tmp_path / "a.nc").write_bytes(b"CDF\x05")

    def refused(path, **_):
        raise fault

    stored(tmp_path, "b.nc")
    monkeypatch.setattr(xr, "open_dataset", refused)
    with pytest.raises(DataError, match=f"b.nc: .*{fault.args[-1][:20]}"):
        opened(str(tmp_path))


@pytest.mark.parametrize("error", [ImportError, RuntimeError])
def test_grib_without_its_library_is_not_left_out(tmp_path, monkeypatch, error):
    def missing(name):
        raise error(name)

    stored(tmp_path, "a.nc")
    (tmp_path / "b.grib").write_bytes(b"GRIB")
    monkeypatch.setattr(files, "grib_library", missing)
    with pytest.raises(DataError, match="b.grib: reading GRIB needs cfgrib"):
        opened(str(tmp_path))


@pytest.mark.parametrize(
    "error", [MemoryError(), KeyError("t2m"), TypeError("a bug"), AttributeError("a bug")], ids=repr
)
def test_errors_of_no_file_do_not_read_the_files(monkeypatch, error):
    monkeypatch.setattr(files, "_broken", lambda pattern: pytest.fail("read the files"))
    with pytest.raises(type(error)), readable("data/*.nc"):
        raise error


def test_folders_that_a_pattern_matches_are_refused_with_their_files(tmp_path):
    (tmp_path / "2019.d").mkdir()
    (tmp_path / "plots").mkdir()
    for name in ("b.nc", "2019.d/a.nc", "plots/a.png"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"matches the folder .*/2019.d and none of its files; .*/\*\*/\*.nc' or"):
        paths_of(str(tmp_path / "*"))
    assert paths_of(str(tmp_path / "**/*.nc")) == [str(tmp_path / n) for n in ("2019.d/a.nc", "b.nc")]
    assert len(paths_of(str(tmp_path / "**/*"))) == 3
    (tmp_path / "2019.d/a.nc").unlink()
    assert paths_of(str(tmp_path / "*")) == [str(tmp_path / "b.nc")]


@pytest.mark.parametrize("memory", [2.0, 0.0])
def test_values_that_cannot_be_read_name_their_file(tmp_path, memory):
    import h5py

    packed = {"t2m": {"zlib": True, "chunksizes": (20, H, W)}}
    for name, part in (("a.nc", slice(0, 20)), ("b.nc", slice(20, T))):
        stored(tmp_path, name, usual().isel(time=part), encoding=packed)
    with h5py.File(tmp_path / "b.nc") as file:
        at = file["t2m"].id.get_chunk_info(0).byte_offset
    content = bytearray((tmp_path / "b.nc").read_bytes())
    content[at : at + 200] = bytes(200)
    (tmp_path / "b.nc").write_bytes(content)
    with pytest.raises(DataError, match="cannot read the values of .*b.nc: "):
        Own(str(tmp_path), memory=memory).load()


def test_a_field_of_one_date_beside_series_is_static(tmp_path):
    stored(tmp_path, "a.nc")
    early = np.array(["1979-01-01"], "datetime64[ns]")
    stored(tmp_path, "z.nc", usual(STATE[:1], time=early, units="m").rename(t2m="z"))
    data = Own(str(tmp_path), frame=2).load()
    assert data.names == ("t2m",) and "z" in data.static_names
    np.testing.assert_array_equal(data.static[..., data.static_names.index("z")], STATE[0])
    assert "z is at one time alone: it is taken as a static field" in data.notes


def test_packing_that_is_written_as_text(tmp_path):
    packed = np.clip(np.round((STATE - 280) / 1e-3), -9000, 9000).astype(np.int16)
    packed[:, 0, 0] = -9999
    attrs = {"units": "K", "scale_factor": "0.001", "add_offset": "280", "missing_value": "-9999"}
    data = Own(stored(tmp_path, file=usual(packed, **attrs), encoding={"time": HOURS}), frame=2, mask=True).load()
    assert data.mask.sum() == H * W - 1
    np.testing.assert_allclose(whole(data)[:, 1:], STATE[:, 1:], atol=6e-4)


def test_members_without_values_and_twice():
    state = np.stack([STATE, np.full_like(STATE, np.nan), STATE + 1])
    coords = {"sample": [4, 5, 6], "time": TIME, "lat": LAT, "lon": LON}
    file = xr.Dataset({"t2m": (tuple(coords), state, {"units": "K"})}, coords)
    data = from_xarray(file, 2)
    assert len(data.train) == 2 and data.notes == ("member 5 has no values and is left out",)
    with pytest.raises(DataError, match="mine: sample has 1 of its 3 members twice"):
        from_xarray(file.assign_coords(sample=[4, 5, 5]), 2, source="mine")


def test_levels_that_are_not_there_and_variables_that_are_left_out():
    state = np.stack([STATE, STATE + 1], 1)
    file = xr.Dataset({"t": (("time", "level", "lat", "lon"), state, {"units": "K"})},
                      {"time": TIME, "level": [85000.0, 50000], "lat": LAT, "lon": LON})  # fmt: skip
    with pytest.raises(DataError, match="mine: no variable has a level 700; it has 850, 500"):
        from_xarray(file, 2, source="mine", levels=(700.0,))
    file["level"] = [0.0, -1.0]
    assert from_xarray(file, 2, variables=("t",)).names == ("t_0", "t_-1")
    two = file.assign(q=(("time", "level", "band", "lat", "lon"), state[:, :, None].repeat(2, 2)))
    assert "q is along level and band and left out" in from_xarray(two, 2).notes


def test_a_variable_alone_and_numbers_for_dates():
    np.testing.assert_array_equal(whole(from_xarray(usual()["t2m"], 2)), STATE)
    numbers = "time", 6 * np.arange(T), HOURS
    np.testing.assert_array_equal(whole(from_xarray(usual().assign_coords(time=numbers), 2)), STATE)


def test_fill_values_that_stand_at_one_time_alone_are_told():
    state = STATE.copy()
    state[21, 3, 3] = -9999
    data = from_xarray(usual(state, units="m").rename(t2m="depth"), 2)
    assert any("depth has values of -9999, a fill value that the file does not declare" in n for n in data.notes)
