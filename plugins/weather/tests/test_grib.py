"""Forecasts as GRIB are what is read back from it."""

import sys
from dataclasses import replace

import numpy as np
import pyproj
import pytest

from genkit.errors import DataError, UsageError
from genkit_weather.data import Series, WeatherData
from genkit_weather.forecasting.grib import GribFile
from genkit_weather.gridded import opened

START = np.datetime64("2020-02-08T18", "s")
LAMBERT = "+proj=lcc +lat_0=63.3 +lon_0=15 +lat_1=63.3 +lat_2=63.3 +R=6371000"
ROTATED = "+proj=ob_tran +o_proj=longlat +o_lat_p=40 +o_lon_p=0 +lon_0=10 +R=6371000"


def data_of(lat, lon, **more):
    names = "t2m", "t_850"
    nothing = Series(np.zeros((1, *lat.shape, 2), np.float32), np.zeros((1, 1, 1, 0), np.float32), START[None])
    return WeatherData(
        (nothing,), (nothing,), (nothing,), np.zeros((*lat.shape, 0)), (1, 1), names, ("K", "degC"),
        ("temperature at 2 m", "temperature at 850 hPa"), (), (), 3.0, lat, lon, **more,
    )  # fmt: skip


def grids(kind):
    """Data on 5 rows and 6 columns of a kind of grid."""
    if kind == "degrees":
        return data_of(*np.meshgrid(58.0 - np.arange(5), -10.0 + 0.5 * np.arange(6), indexing="ij"))
    lambert = kind == "lambert"
    crs = pyproj.CRS.from_proj4(LAMBERT if lambert else ROTATED)
    x, y = np.arange(6) * (25e3 if lambert else 0.5), np.arange(5) * (25e3 if lambert else 0.5)
    lon, lat = pyproj.Transformer.from_crs(crs, "+proj=longlat +R=6371000", always_xy=True).transform(
        *np.meshgrid(x, y)
    )
    more = {"x": x / 1000, "y": y / 1000} if lambert else {}
    return data_of(lat, lon, crs=crs.to_wkt(), **more)


@pytest.mark.parametrize("kind", ["degrees", "lambert", "rotated"])
def test_what_is_written_is_read_back(kind, tmp_path):
    pytest.importorskip("eccodes"), pytest.importorskip("cfgrib")
    data, path = grids(kind), tmp_path / "f.grib2"
    values = np.random.default_rng(0).normal(280, 5, (2, 3, 5, 6, 2)) - [0, 273.15]  # lead, member
    values[:, :, 0, 0, 0] = np.nan
    with GribFile(path, data, START, 3, {}) as file:
        file.write(1, 0, values[0, :2])
        file.write(1, 2, values[0, 2:])
        file.write(2, 0, values[1])
    found = opened(str(path))
    rows = slice(None, None, -1) if kind == "degrees" else slice(None)  # own files run from the south
    np.testing.assert_allclose(found["latitude"].values[rows], data.lat, atol=2e-4)
    np.testing.assert_allclose((found["longitude"].values[rows] - data.lon + 180) % 360, 180, atol=2e-4)
    assert (found["time"].values == START + np.array([3, 6]) * np.timedelta64(1, "h")).all()
    t2m = found["t2m"].transpose("time", "member", "y", "x").values[..., rows, :]
    np.testing.assert_allclose(t2m, values[..., 0], atol=1e-3)
    level = next(n for n in map(str, found.data_vars) if n != "t2m")
    assert found[level].attrs["level"] == "850 hPa" and found[level].attrs["units"] == "K"
    upper = found[level].transpose("time", "member", "y", "x").values[..., rows, :]
    np.testing.assert_allclose(upper, values[..., 1] + 273.15, atol=1e-3)


def test_a_sum_is_that_of_one_step(tmp_path):
    """The second of two leads of 3 h begins where the first ends, under one name."""
    eccodes, path = pytest.importorskip("eccodes"), tmp_path / "f.grib2"
    data = replace(grids("degrees"), names=("tp", "fg10"), units=("mm", "m s-1"), long_names=("rain", "gust"))
    with GribFile(path, data, START, 2, {}) as file:
        for step in (1, 2):
            file.write(step, 0, np.full((2, 5, 6, 2), 4.0))
    told = []
    with path.open("rb") as file:
        while (message := eccodes.codes_grib_new_from_file(file)) is not None:
            told.append(tuple(eccodes.codes_get(message, key) for key in ("shortName", "stepRange", "number")))
            if told[-1][0] == "tp":
                np.testing.assert_allclose(eccodes.codes_get_values(message), 0.004, rtol=1e-6)
            eccodes.codes_release(message)
    assert told == [(n, r, m) for r in ("0-3", "3-6") for m in (0, 1) for n in ("tp", "10fg3")]


@pytest.mark.parametrize(
    ("name", "short"),
    [("t2m", "2t"), ("d2m", "2d"), ("u10", "10u"), ("u10m", "10u"), ("v100", "100v"), ("si10", "10si"),
     ("fg10", "10fg"), ("fg10_3", "10fg"), ("i10fg", "i10fg"), ("mx2t", "mx2t"), ("2t", "2t")],
)  # fmt: skip
def test_names_of_cfgrib_and_of_grib(name, short, tmp_path):
    eccodes = pytest.importorskip("eccodes")
    units = "K" if "t" in name or "d" in name else "m s-1"
    data = replace(grids("degrees"), names=(name,), units=(units,), long_names=("",))
    file = GribFile(tmp_path / "f.grib2", data, START, 1, {})
    assert eccodes.codes_get(file.messages[0].handle, "shortName") == short
    assert not file.path.exists()


def test_what_grib_cannot_hold_is_refused(tmp_path, monkeypatch):
    pytest.importorskip("eccodes")
    data, path = grids("degrees"), tmp_path / "f.grib2"
    with pytest.raises(UsageError, match="fish has no place in GRIB as 'fish'.*--names fish NAME"):
        GribFile(path, replace(data, names=("fish", "t_850")), START, 1, {})
    with pytest.raises(UsageError, match="has no latitudes and longitudes, which GRIB needs; write .nc"):
        GribFile(path, replace(data, lat=None), START, 1, {})
    with pytest.raises(UsageError, match="--members 256: GRIB numbers at most 255"):
        GribFile(path, data, START, 256, {})
    with pytest.raises(DataError, match="t2m has the unit 'm'; expected one that can be converted to 'K'"):
        GribFile(path, replace(data, units=("m", "K")), START, 1, {})
    bent = np.asarray(data.lat) + 0.1 * np.arange(6) ** 2
    with pytest.raises(UsageError, match="only grids of latitudes and longitudes"):
        GribFile(path, replace(data, lat=bent), START, 1, {})
    monkeypatch.setitem(sys.modules, "eccodes", None)
    with pytest.raises(UsageError, match="GRIB needs eccodes.*pip install"):
        GribFile(path, data, START, 1, {})
