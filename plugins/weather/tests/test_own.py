"""Own gridded data: files of the kinds that people have, understood or refused in one line."""

import os
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray as xr
from own_files import LAT, LON, STATE, TIME, H, T, W, plane, usual, whole

from genkit.cli import main
from genkit.errors import DataError, UsageError
from genkit_weather.data import statistics
from genkit_weather.datasets import Own, from_xarray
from genkit_weather.forecasting import ForecastFile, read
from genkit_weather.gridded import opened, stamp, to_xarray, weather
from genkit_weather.lam import Formulation, domain_of
from genkit_weather.lazy import Lazy

HARD = Path(os.environ.get("GENKIT_DATA", "/nowhere")) / "hard" / "weather"


def test_variables_splits_and_grid():
    file = plane(1000.0, q=(("time", "y", "x"), 2 * STATE), height=(("y", "x"), STATE[0]))
    data = from_xarray(file, frame=2)
    assert data.names == ("t2m", "q") and data.units == ("K", "1")
    assert [len(s) for (s,) in data.splits().values()] == [28, 4, 8]
    np.testing.assert_array_equal(whole(data, 1), 2 * STATE)
    assert data.frame == (2, 2) and data.step_hours == 6.0 and data.diurnal and data.lat is None
    assert data.static_names == ("row", "column", "height")
    np.testing.assert_array_equal(data.static[..., 2], STATE[0])
    np.testing.assert_array_equal(data.x, np.arange(12.0))
    assert data.train[0].forcing.shape == (28, 1, 1, 4)
    np.testing.assert_allclose(data.train[0].forcing[1, 0, 0, :2], [1, 0], atol=1e-6)  # 6 h: a quarter of the day


@pytest.mark.parametrize("dims", [("lat", "lon"), ("latitude", "longitude"), ("nav_lat", "nav_lon")])
def test_latitudes_give_sunshine(dims):
    data = from_xarray(usual(dims=("time", *dims)), frame=2)
    np.testing.assert_array_equal(data.lat[:, 3], LAT)
    np.testing.assert_allclose(data.lon[3], LON)
    assert data.forcing_names[0] == "toa_radiation" and data.train[0].forcing.shape == (28, H, W, 5)
    sun = data.train[0].forcing[..., 0]
    assert sun[2].min() > 1000 and sun[0].max() < 100  # noon and midnight in June


def descending():
    return usual(STATE[:, ::-1], lat=LAT[::-1])


def transposed():
    return usual().transpose("lon", "time", "lat")


def cds():
    """As the Climate Data Store writes: valid_time, which it calls forecast_reference_time; a text a time; a number."""
    file = usual(dims=("valid_time", "latitude", "longitude"))
    file["valid_time"].attrs["standard_name"] = "forecast_reference_time"
    return file.assign_coords(expver=("valid_time", np.full(T, "0001")), number=0)


def two_versions():
    """An older file of it: the final analysis up to some time, the preliminary after it."""
    final, early = STATE.copy(), STATE.copy()
    final[30:], early[:30] = np.nan, np.nan
    file = usual().expand_dims(expver=[1, 5], axis=1).copy(deep=True)
    file["t2m"].values[:, 0], file["t2m"].values[:, 1] = final, early
    return file


def named_by_attributes():
    file = usual(dims=("n1", "n2", "n3"))
    for name, attrs in (
        ("n1", {"standard_name": "time"}),
        ("n2", {"units": "degrees_north"}),
        ("n3", {"units": "degrees_east"}),
    ):
        file[name].attrs.update(attrs)
    return file


def one_height():
    return usual().expand_dims(height0=[2.0], axis=1)


def with_bounds():
    file = usual()
    file["time"].attrs["bounds"] = "when"
    return file.assign(
        when=(("time", "bnds"), np.stack([TIME, TIME], 1)), lat_bnds=(("lat", "bnds"), np.stack([LAT, LAT], 1))
    )


def in_double():
    return usual(STATE.astype(np.float64))


def wrf():
    """Names, dates and repeated places of WRF."""
    lat, lon = (np.broadcast_to(a, (T, H, W)) for a in np.meshgrid(LAT, LON, indexing="ij"))
    dims = ("Time", "south_north", "west_east")
    labels = np.array([str(t).replace("T", "_") for t in TIME], "S19")
    return xr.Dataset({"t2m": (dims, STATE, {"units": "K"}), "Times": ("Time", labels)},
                      {"XLAT": (dims, lat), "XLONG": (dims, lon), "XTIME": ("Time", np.arange(T))})  # fmt: skip


KINDS = [descending, transposed, cds, two_versions, named_by_attributes, one_height, with_bounds, in_double, wrf]


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_the_same_data_in_many_guises(written, kind):
    data = written(kind())
    assert data.names == ("t2m",) and data.units == ("K",) and data.notes == ()
    np.testing.assert_allclose(whole(data), STATE, rtol=1e-6)
    np.testing.assert_allclose(data.lat[:, 0], LAT)
    np.testing.assert_allclose(data.lon[0], LON)
    np.testing.assert_array_equal(np.concatenate([s.time for (s,) in data.splits().values()]), TIME)


def test_packed_numbers_and_zarr_and_old_netcdf(written, tmp_path):
    packed = written(
        usual(), encoding={"t2m": {"dtype": "i2", "scale_factor": 0.001, "add_offset": 280.0, "_FillValue": -9999}}
    )
    np.testing.assert_allclose(whole(packed), STATE, atol=6e-4)
    np.testing.assert_array_equal(whole(written(usual(), "own.zarr")), STATE)
    usual().to_netcdf(tmp_path / "old.nc", engine="scipy", format="NETCDF3_64BIT")
    np.testing.assert_array_equal(whole(Own(str(tmp_path / "old.nc"), frame=2).load()), STATE)


def test_many_files_of_times_and_of_variables(tmp_path):
    said = {"notes": "a text", "crs": "EPSG:0"}  # which are not genkit's
    usual().isel(time=slice(22, None)).assign_attrs(said).to_netcdf(tmp_path / "a_late.nc", engine="h5netcdf")
    usual().isel(time=slice(0, 25)).to_netcdf(tmp_path / "b_early.nc", engine="h5netcdf")  # three times twice
    celsius = usual(STATE - 273.15, units="degC").rename(t2m="d2m")
    celsius.to_netcdf(tmp_path / "c_other.nc", engine="h5netcdf")
    usual().isel(time=0, drop=True).rename(t2m="z").to_netcdf(tmp_path / "d_static.nc", engine="h5netcdf")
    data = Own(str(tmp_path / "*.nc"), frame=2).load()
    assert data.names == ("t2m", "d2m") and data.units == ("K", "degC") and data.static_names == ("lat", "lon", "z")
    np.testing.assert_array_equal(whole(data), STATE)
    assert "3 times stand twice; the first in the order of the files counts" in data.notes
    assert data.crs is None and not {len(note) for note in data.notes} & {1, len("a text")}
    lazy = Own(str(tmp_path), frame=2, memory=0.0).load()
    assert not isinstance(lazy.train[0].state, np.ndarray)
    np.testing.assert_array_equal(whole(lazy, 1), whole(data, 1))
    np.testing.assert_array_equal(lazy.val[0].forcing[2], data.val[0].forcing[2])
    usual(lat=LAT + 1).to_netcdf(tmp_path / "e.nc", engine="h5netcdf")
    with pytest.raises(DataError, match=r"e\.nc lies elsewhere than .*a_late\.nc: latitude differs by up to 1"):
        Own(str(tmp_path / "*.nc")).load()


def test_what_takes_a_pass_over_a_store_larger_than_memory_is_found_once(tmp_path, monkeypatch):
    """Statistics and residual moments are those of the same data in memory; files that change are read again."""
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("genkit_weather.data.BLOCK_BYTES", 8 * H * W * 5)  # five states at once
    store, formulation = tmp_path / "own.zarr", Formulation("relaxed", anomalies=True)
    usual().chunk(time=9).to_zarr(store)
    how = {"frame": 2, "memory": STATE.nbytes / 2e9}
    near, far = Own(str(store), frame=2).load(), Own(str(store), **how).load()
    expected = domain_of(near, formulation)
    with monkeypatch.context() as patch:
        most, read = [], Lazy.__getitem__
        patch.setattr(Lazy, "__getitem__", lambda self, rows: most.append(len(out := read(self, rows))) or out)
        found = domain_of(far, formulation)
        assert max(most) <= 3 * 5  # three times of five examples
    again = Own(str(store), **how).load()
    for series in again.train:
        series.state.read = lambda rows: pytest.fail("read again")  # type: ignore[union-attr]
    for one in (found, domain_of(again, formulation)):
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    with monkeypatch.context() as patch:  # code that computes otherwise finds anew
        patch.setattr("genkit_weather.data.KEPT", 0)
        with pytest.raises(pytest.fail.Exception, match="read again"):
            statistics(again)
    with monkeypatch.context() as patch:  # files whose values are in memory are not looked through
        patch.setitem(weather.__globals__, "stamp", lambda _: pytest.fail("looked through"))
        Own(str(store), frame=2).load()
    assert stamp(str(store)) and not stamp("https://example.org/own.zarr")  # what changed there cannot be told
    warmer = usual(STATE + 5).chunk(time=9)
    warmer.to_zarr(store, mode="w")
    np.testing.assert_allclose(statistics(Own(str(store), **how).load()).mean, expected.mean + 5, rtol=1e-5)


def test_the_metadata_of_a_remote_store_tells_when_it_was_written(tmp_path):
    pytest.importorskip("fsspec")
    usual().to_zarr(tmp_path / "own.zarr", zarr_format=2)
    first = stamp(f"file://{tmp_path}/own.zarr")
    assert "mtime" in first and first == stamp(f"file://{tmp_path}/own.zarr")
    usual(STATE + 1).to_zarr(tmp_path / "own.zarr", zarr_format=2, mode="w")
    assert stamp(f"file://{tmp_path}/own.zarr") != first
    assert stamp(f"file://{tmp_path}/none.zarr") == stamp("nothing://own.zarr") == ""


def test_units_of_later_files_become_those_of_the_first(tmp_path):
    usual().isel(time=slice(0, 20)).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    usual(STATE - 273.15, units="celsius").isel(time=slice(20, None)).to_netcdf(tmp_path / "b.nc", engine="h5netcdf")
    np.testing.assert_allclose(whole(Own(str(tmp_path), frame=2).load()), STATE, rtol=1e-6)


def test_levels_become_variables(written):
    state = np.stack([STATE, STATE + 10, STATE + 20], 1)
    file = usual().expand_dims(plev=[100000.0, 85000.0, 50000.0], axis=1).copy(data={"t2m": state}).rename(t2m="t")
    file["plev"].attrs["units"] = "Pa"
    data = written(file)
    assert data.names == ("t_1000", "t_850", "t_500") and data.long_names[1] == "temperature at 850 hPa"
    np.testing.assert_array_equal(whole(data, 2), STATE + 20)
    assert written(file, "b.nc", levels=(500.0, 1000.0), variables=("t",)).names == ("t_500", "t_1000")
    with pytest.raises(DataError, match="no variable has a level 700; found t_850"):
        written(file, "c.nc", levels=(850.0, 700.0))


def test_what_is_given_and_what_never_changes():
    mask = np.broadcast_to(np.arange(W) > 4, STATE.shape).astype(np.float32)
    file = usual().assign(
        lsm=(("time", "lat", "lon"), mask), sun=(("time", "lat", "lon"), 2 * STATE), index=("time", np.arange(T))
    )
    data = from_xarray(file, frame=2, forcing=("sun", "index"))
    assert (
        data.names == ("t2m",) and data.static_names == ("lat", "lon", "lsm") and "lsm never changes" in data.notes[0]
    )
    assert data.forcing_names[-2:] == ("sun", "index")
    np.testing.assert_array_equal(data.val[0].forcing[..., 5], 2 * STATE[28:32])
    np.testing.assert_array_equal(data.val[0].forcing[:, 3, 3, 6], np.arange(28, 32))
    only = from_xarray(file, frame=2, variables=("sun",))
    assert only.names == ("sun",)
    with pytest.raises(UsageError, match="lsm does not change|index is the same everywhere"):
        from_xarray(file, variables=("index",))
    once = STATE.copy()
    once[:30] = once[0]  # changes in the test alone
    with pytest.raises(DataError, match="variable t2m never changes in train"):
        from_xarray(usual(once))


def test_cells_without_values(written):
    bare = usual().assign(sst=(("time", "lat", "lon"), np.where(np.arange(W) > 6, np.nan, STATE), {"units": "K"}))
    with pytest.raises(DataError, match=r"no value \(NaN\) of sst at 50 of 120 cells; .*--data.mask True"):
        written(bare)
    data = written(bare, "b.nc", mask=True)
    assert data.mask[..., 0].all() and not data.mask[:, 7:, 1].any() and data.mask[:, :7, 1].all()
    sea = STATE[:28, :, :7].astype(np.float64)
    found = statistics(data)
    np.testing.assert_allclose([found.mean[1], found.std[1]], [sea.mean(), sea.std()], rtol=1e-6)
    np.testing.assert_allclose(found.diff_std[1], np.diff(sea, axis=0).std() / sea.std(), rtol=1e-5)
    np.testing.assert_allclose(data.test[0].state[:, :, 7:, 1], sea.mean(), rtol=1e-6)
    cells = data.interior_weights
    assert cells.shape == (6, 8, 2) and (cells[:, 5:, 1] == 0).all()
    np.testing.assert_allclose(cells.mean((0, 1)), 1, rtol=1e-6)


def broken(change):
    nan = usual().copy(deep=True)
    nan["t2m"].values[5, 3, 2] = np.nan
    return {
        "nan": nan,
        "no time": xr.Dataset({"a": (("y", "x"), STATE[0])}),
        "numbers": usual().assign_coords(time=np.arange(T)),
        "short": usual().isel(time=slice(2)),
        "flat": xr.Dataset({"a": (("time",), STATE[:, 0, 0])}, {"time": TIME}),
        "frame": usual(),
        "points": xr.Dataset({"t": (("time", "values"), STATE[:, 0])},
                             {"time": TIME, "latitude": ("values", LON), "longitude": ("values", LON)}),
        "exchanged": usual(lat=LAT + 90),
        "no step": usual().isel(time=[0]),
    }[change]  # fmt: skip


@pytest.mark.parametrize(
    "change, message",
    [
        ("nan", r"mine: no value \(NaN\) of t2m at 1 of 120 cells"),
        ("no time", r"mine: no variable changes in time; found a \('y', 'x'\)"),
        ("numbers", "mine: time must be dates, found 0; give it units"),
        ("short", "mine has 2 times; three splits of 3 states need at least 9"),
        ("no step", "mine has 1 time"),
        ("flat", r"mine: no variable has rows and columns; found a \('time',\)"),
        ("exchanged", "mine: latitudes go to 144.5 degrees; are they exchanged with longitudes"),
        ("frame", "a frame of 9 leaves no interior of 10 x 12 cells"),
        ("points", "mine: the values lie on points along values, not on rows and columns; interpolate"),
    ],
)
def test_what_cannot_be_understood(change, message):
    with pytest.raises(DataError, match=message) as caught:
        from_xarray(broken(change), frame=9 if change == "frame" else 2, source="mine")
    assert "\n" not in str(caught.value)


def test_wrong_options_and_files(tmp_path):
    with pytest.raises(UsageError, match="split="):
        from_xarray(usual(), split=(0.9, 0.1))
    with pytest.raises(UsageError, match="forcing names wind, but own data has t2m"):
        from_xarray(usual(), forcing=("wind",))
    with pytest.raises(DataError, match="no such file; give a file"):
        Own(str(tmp_path / "none*.nc")).load()
    (tmp_path / "text.nc").write_bytes(b"\x89HDF\r\n\x1a\n and no data")
    with pytest.raises(DataError, match="cannot read .*text.nc"):
        Own(str(tmp_path / "text.nc")).load()


@pytest.mark.parametrize(
    "state, units, note",
    [
        (STATE - 273.15, "K", "t2m is said to be in 'K' and goes from .* which it can hardly be"),
        (STATE, "", "t2m has no units; they can be given by --data.units t2m UNIT"),
        (np.where(STATE > 282, 9.96921e36, STATE), "K", "a fill value that the file does not declare"),
    ],
)
def test_doubts_about_units(state, units, note):
    import re

    data = from_xarray(usual(state.astype(np.float32), units=units), frame=2)
    assert any(re.search(note, n) for n in data.notes)
    if not units:
        assert from_xarray(usual(units=""), frame=2, units={"t2m": "K"}).notes == ()


def test_there_and_back(written):
    data = from_xarray(usual(), frame=2)
    back = from_xarray(to_xarray(data, data.train[0]), frame=2, split=(0.5, 0.25), variables=("t2m",))
    np.testing.assert_allclose(whole(back), data.train[0].state[..., 0])
    np.testing.assert_allclose(back.lat, data.lat)


def test_check_tells_what_is_understood(tmp_path, capsys):
    usual().isel(time=[*range(10), *range(12, T)]).to_netcdf(tmp_path / "own.nc", engine="h5netcdf")
    assert main(["weather-check", str(tmp_path / "own.nc"), "--data.frame", "2"]) == 0
    out = capsys.readouterr().out
    lines = ["10 rows from south to north, 12 columns", "place      50 to 54.5 N, 5 to 10.5 E", "every 6 h"]
    lines += ["38 times from 2020-06-01", "t2m [K]: 27", "predicted  t2m; frame of 2 cells", "the times have a gap"]
    for line in lines:
        assert line in out
    usual(np.where(np.arange(W) > 6, np.nan, STATE)).to_netcdf(tmp_path / "sst.nc", engine="h5netcdf")
    assert main(["weather-check", str(tmp_path / "sst.nc")]) == 1
    shown = capsys.readouterr()
    assert "41.7 % without value" in shown.out and "--data.mask True" in shown.err and shown.err.count("\n") == 1


@pytest.mark.skipif(not HARD.exists(), reason="needs GENKIT_DATA")
@pytest.mark.parametrize("name", sorted(p.name for p in HARD.glob("*.nc")))
def test_real_files(name):
    data = Own(str(HARD / name), mask="nan" in name).load()
    assert "t2m" in data.names and data.grid == (20, 24) and data.step_hours == 3
    assert (data.mask is not None) == ("nan" in name) and ("lsm" in data.static_names) == ("lsm" in name)
    assert len(data.train) == (3 if "number" in name else 1)
    assert ("gap" in " ".join(data.notes)) == ("missing" in name)
    if "lon360" in name:
        np.testing.assert_allclose(data.lon[0], np.arange(-3, 3, 0.25))
    if "lambert" in name or "height" in name:
        np.testing.assert_allclose(np.diff(data.x), 81.271)


def test_grib_is_read_as_the_arrays_are():
    path = HARD.parents[1] / "weather" / "era5-2mt-2019-03-uk.grib"
    if not path.exists():
        pytest.skip("needs GENKIT_DATA")
    pytest.importorskip("cfgrib")
    file = opened(str(path))
    with np.load(path.with_name("era5_uk_t2m_2019-03.npz")) as arrays:
        np.testing.assert_allclose(file["t2m"].isel(time=[0, 700]).values, arrays["t2m"][[0, 700], ::-1], rtol=1e-6)


@pytest.mark.parametrize("name, units, scale", [("orog", "m", 1), ("z", "m**2 s**-2", 9.80665), ("HGT", "km", 1e-3)])
def test_elevation_is_known_and_stands_in_forecasts(name, units, scale, tmp_path):
    metres = 10.0 * np.arange(H * W).reshape(H, W)
    file = usual().assign({name: (("lat", "lon"), scale * metres, {"units": units})})
    data = from_xarray(file, frame=2)
    np.testing.assert_allclose(data.elevation, metres, rtol=1e-5)
    with ForecastFile(tmp_path / "f.nc", data, TIME[:1], [1], 1):
        pass
    with read(tmp_path / "f.nc") as made:
        np.testing.assert_allclose(made["surface_altitude"], metres, rtol=1e-5)
    assert from_xarray(usual(), frame=2).elevation is None
    del file[name].attrs["units"]  # metres or a geopotential?
    assert from_xarray(file, frame=2).elevation is None
