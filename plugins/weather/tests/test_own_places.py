"""Own gridded data: longitudes, lengths, projections, wind."""

import numpy as np
import pytest
from own_files import LAT, LON, STATE, W, plane, usual, whole

from genkit.errors import DataError
from genkit_weather.datasets import from_xarray


def test_longitudes_across_greenwich_and_around_the_globe(written):
    lon = np.array([357, 357.5, 358, 358.5, 359, 359.5, 0, 0.5, 1, 1.5, 2, 2.5])
    data = written(usual(lon=lon))
    np.testing.assert_allclose(data.lon[0], np.arange(-3, 3, 0.5))
    np.testing.assert_array_equal(whole(data), STATE)
    mixed = [*range(6, 12), *range(6)]
    np.testing.assert_array_equal(whole(written(usual(lon=lon).isel(lon=mixed), "b.nc")), STATE)
    globe = written(usual(lon=np.arange(0, 360, 30.0)), "c.nc")
    np.testing.assert_allclose(globe.lon[0], np.arange(0, 360, 30))
    assert globe.static_names == ("lat", "cos_lon", "sin_lon")
    with pytest.raises(DataError, match="longitude jumps from 2 to 8"):
        written(usual(lon=np.array([0, 0.5, 1, 1.5, 2, 8, 8.5, 9, 9.5, 10, 10.5, 11])), "d.nc")
    cut = written(usual(lon=lon), "e.nc", region=(50.9, 53.1, -1.1, 1.1))
    np.testing.assert_allclose(cut.lon[0], np.arange(-1, 1.1, 0.5))
    assert cut.grid == (5, 5)


@pytest.mark.parametrize(
    "units, x", [("m", 2000.0), ("metre", 2000.0), ("meters", 2000.0), ("km", 2.0), ("kilometres", 2.0)]
)
def test_lengths(units, x):
    np.testing.assert_allclose(from_xarray(plane(x, units), frame=2).x, 2.0 * np.arange(W))


def lambert(x=2000.0, units="m"):
    attrs = {"grid_mapping_name": "lambert_conformal_conic", "standard_parallel": 63.3, "earth_radius": 6371000.0,
             "longitude_of_central_meridian": 15.0, "latitude_of_projection_origin": 63.3}  # fmt: skip
    return plane(x, units, lambert=((), 0, attrs))


def test_projection_gives_places():
    """At the origin of a tangent cone rows are parallels and the scale is 1: a metre is a metre of the sphere."""
    data = from_xarray(lambert(), frame=2)
    np.testing.assert_allclose([data.lat[0, 0], data.lon[0, 0]], [63.3, 15.0], atol=1e-6)
    degree = np.deg2rad(1) * 6371.0
    assert (data.lat[1, 0] - data.lat[0, 0]) * degree == pytest.approx(2.0, rel=5e-3)
    assert (data.lon[0, 1] - data.lon[0, 0]) * degree * np.cos(np.deg2rad(63.3)) == pytest.approx(2.0, rel=5e-3)
    assert data.crs.startswith("PROJCRS")


def test_spacing_that_cannot_be():
    with pytest.raises(DataError, match="y is said to be in 'km', which makes cells of 3000 km; correct its units"):
        from_xarray(plane(3000.0, "km"))
    file = from_xarray(lambert(), frame=2)
    wrong = plane(20.0, "m").assign_coords(lat=(("y", "x"), file.lat), lon=(("y", "x"), file.lon))
    with pytest.raises(DataError, match=r"cells of 0.02 km, but latitudes and longitudes make 2(\.\d+)? km"):
        from_xarray(wrong)


def test_wind_turned_to_the_grid():
    """d degrees east of the meridian of a Lambert cone, north is turned by -d sin(63.3) on the grid."""
    file = lambert(200000.0)
    wind = {"standard_name": "eastward_wind", "units": "m s-1"}, {"standard_name": "northward_wind", "units": "m s-1"}
    zero = 0.1 * (STATE - 280)
    file = file.assign(u=(("time", "y", "x"), zero, wind[0]), v=(("time", "y", "x"), 10 + 0 * zero + zero, wind[1]))
    data = from_xarray(file, frame=2, wind="grid")
    east, north = whole(from_xarray(file, frame=2), 1), whole(from_xarray(file, frame=2), 2)
    u, v = whole(data, 1), whole(data, 2)
    np.testing.assert_allclose(np.hypot(u, v), np.hypot(east, north), rtol=1e-5)
    turned = np.arctan2(u, v) - np.arctan2(east, north)
    expected = -np.deg2rad((data.lon - 15.0) * np.sin(np.deg2rad(63.3)))
    inner = (slice(None), slice(1, -1), slice(1, -1))
    np.testing.assert_allclose(turned[inner], np.broadcast_to(expected, turned.shape)[inner], atol=4e-3)
    with pytest.raises(DataError, match="no pair of wind components"):
        from_xarray(usual(), wind="grid")


@pytest.mark.parametrize("said", ["attributes", "mapping"])
def test_x_and_y_that_are_degrees(said):
    """As rioxarray and the IRI library write them."""
    file = usual(dims=("time", "Y", "X")) if said == "attributes" else usual(dims=("time", "y", "x"))
    y, x = file["t2m"].dims[1:]
    if said == "attributes":
        file[y].attrs["units"], file[x].attrs["units"] = "degree_north", "degree_east"
    else:
        file["spatial_ref"] = (), 0, {"grid_mapping_name": "latitude_longitude"}
    data = from_xarray(file, 2)
    np.testing.assert_array_equal(data.lat[:, 0], LAT)
    np.testing.assert_allclose(data.lon[0], LON)
    assert data.x is None and data.crs is None and data.notes == ()


@pytest.mark.parametrize("said", ["names", "mapping", "both"])
def test_x_and_y_that_are_degrees_of_a_rotated_pole(said):
    """The pole of the rotation at 40 N, 170 W: its point (0, 0) is 50 N, 10 E. Alone the names tell no place."""
    file = usual(dims=("time", "y", "x"), lat=LAT - 50, lon=LON - 5)
    file["y"].attrs["units"], file["x"].attrs["units"] = "degrees_north", "degrees_east"
    if said != "mapping":
        file["y"].attrs["standard_name"], file["x"].attrs["standard_name"] = "grid_latitude", "grid_longitude"
    if said != "names":
        pole = {"grid_north_pole_latitude": 40.0, "grid_north_pole_longitude": -170.0}
        file["pole"] = (), 0, {"grid_mapping_name": "rotated_latitude_longitude", **pole}
    data = from_xarray(file, 2)
    if said == "names":
        assert data.lat is None and data.lon is None
    else:
        np.testing.assert_allclose((data.lat[0, 0], data.lon[0, 0]), (50, 10), atol=1e-6)


@pytest.mark.parametrize("name", ["crs_wkt", "spatial_ref"])
def test_a_projection_in_wkt_alone(name):
    from pyproj import CRS

    data = from_xarray(plane(2000.0, crs=((), 0, {name: CRS.from_epsg(3035).to_wkt()})), 2)
    assert data.crs is not None and data.lat is not None and data.static_names == ("lat", "lon")


@pytest.mark.parametrize(("lat", "lon", "said"), [
    (np.r_[LAT[:5], LAT[4:-1]], LON, "latitude has 52 twice; drop one"),
    (np.r_[LAT[:5], LAT[5:] + 1], LON, "latitude jumps from 52 to 53.5, beside it by 0.5"),
    (LAT, np.r_[LON[:-1], 1e20], r"longitudes go to 1e\+20 degrees; is that a fill value"),
])  # fmt: skip
def test_places_that_cannot_be(lat, lon, said):
    with pytest.raises(DataError, match=said):
        from_xarray(usual(lat=lat, lon=lon), 2)


def test_latitudes_may_lie_closer_by_degrees_and_at_a_pole():
    for steps in (1.2 ** np.arange(9), np.r_[1, np.full(7, 2.0), 1]):
        lat = 50 + np.append(0, np.cumsum(steps))
        np.testing.assert_allclose(from_xarray(usual(lat=lat), 2).lat[:, 0], lat)
