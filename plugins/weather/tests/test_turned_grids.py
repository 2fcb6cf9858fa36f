"""Grids whose rows are no circles of latitude: their order, a region of them, and the wind on them."""

import numpy as np
import xarray as xr

from genkit_weather.gridded import found, turned, understood
from genkit_weather.gridded.weather import _cut_out

T, H, W = 3, 8, 10
TIME = np.datetime64("2020-06-01", "ns") + 6 * np.arange(T) * np.timedelta64(1, "h")
STATE = np.random.default_rng(0).normal(size=(T, H, W)).astype(np.float32)
X, Y = np.meshgrid(np.arange(W), np.arange(H))


def bent(lat, lon, **fields):
    """Fields on rows and columns with latitudes and longitudes of their own."""
    fields = fields or {"t": (STATE, {})}
    dims = ("time", "y", "x")
    coords = {"time": TIME, "lat": (("y", "x"), lat), "lon": (("y", "x"), lon)}
    file = xr.Dataset({n: (dims, values, attrs) for n, (values, attrs) in fields.items()}, coords)
    return understood([("mine", file)])


def test_a_region_keeps_the_order_of_columns():
    """The first row lies west of the region and of the date line; each cell keeps its neighbours."""
    lat, lon = 60 + 1.0 * Y - 0.3 * X, -3.0 + 1.0 * X + 1.0 * Y
    file = bent(lat, lon)
    cut = _cut_out(file, (60.0, 66.0, 0.0, 8.0), "mine")
    assert (np.diff(cut["longitude"], axis=1) > 0.9).all() and (np.diff(cut["longitude"], axis=1) < 1.1).all()
    inside = (lat >= 60) & (lat <= 66) & (lon >= 0) & (lon <= 8)
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    np.testing.assert_array_equal(cut["t"], STATE[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def test_rows_run_to_the_north_and_columns_to_the_east():
    lat, lon = 60 + 1.0 * Y - 0.3 * X, 5.0 + 1.0 * X + 0.2 * Y
    for rows, columns in ((1, 1), (-1, 1), (1, -1), (-1, -1)):
        file = bent(lat[::rows, ::columns], lon[::rows, ::columns], t=(STATE[:, ::rows, ::columns], {}))
        np.testing.assert_array_equal(file["t"], STATE)
        np.testing.assert_array_equal(file["latitude"], lat)


def wind(u, v, **attrs):
    """Two components of the same attributes but for their standard names."""
    return {n: (STATE + k, attrs | {"standard_name": s} if s else attrs) for k, (n, s) in enumerate((u, v))}


def test_pairs_of_wind():
    lat, lon = 60 + 1.0 * Y - 0.3 * X, 5.0 + 1.0 * X + 0.2 * Y
    east, north = "eastward_wind", "northward_wind"
    for u, v in (("uas", "vas"), ("10u", "10v"), ("U10", "V10"), ("u_850", "v_850"), ("x_wind_10m", "y_wind_10m")):
        assert found(bent(lat, lon, **wind((u, ""), (v, "")))) == [(u, v)]
    assert found(bent(lat, lon, **wind(("first", east), ("second", north)))) == [("first", "second")]
    both = wind(("first", east), ("second", north)) | wind(("third", east), ("fourth", north))
    assert found(bent(lat, lon, **both)) == []  # which belong together is not said


def test_the_flag_of_grib_counts_more_than_the_standard_name():
    lat, lon = 60 + 1.0 * Y - 0.3 * X, 5.0 + 1.0 * X + 0.2 * Y
    fields = wind(("u", "eastward_wind"), ("v", "northward_wind"), GRIB_uvRelativeToGrid=1)
    file = bent(lat, lon, **fields)
    np.testing.assert_array_equal(turned(file, "grid", "mine")["u"], file["u"])
    there = turned(file, "earth", "mine")
    assert float(np.abs(there["u"] - file["u"]).max()) > 0.1 and "GRIB_uvRelativeToGrid" not in there["u"].attrs
    np.testing.assert_allclose(turned(there, "grid", "mine")["u"], file["u"], atol=1e-5)
