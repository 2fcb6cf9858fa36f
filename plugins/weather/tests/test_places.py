"""Points on grids: exact on linear fields, NaN outside."""

import numpy as np
import pytest

from genkit.errors import DataError
from genkit_weather.area.places import Places, arc, unit_vectors

RNG = np.random.default_rng(0)


def interpolated(places, field, place, method="bilinear"):
    cells, weights = places.corners(place, method)
    return (field.ravel()[cells] * weights).sum(1)


def test_bilinear_is_exact_on_bilinear_fields_of_a_plane():
    x, y = np.array([0.0, 1, 3, 4.5, 8]), np.array([10.0, 7, 6, 2])  # unequal steps, rows from north to south
    places = Places((4, 5), x=x, y=y)
    px, py = RNG.uniform(0, 8, 30), RNG.uniform(2, 10, 30)
    field = 1 + 2 * x - 3 * y[:, None]
    place = places.locate(py, px, geographic=False)
    np.testing.assert_allclose(interpolated(places, field, place), 1 + 2 * px - 3 * py, atol=1e-12)
    grid = places.locate(np.repeat(y, 5), np.tile(x, 4), geographic=False)
    np.testing.assert_allclose(grid, np.argwhere(np.ones((4, 5))), atol=1e-12)
    outside = places.locate(np.array([1.9, 5, 5]), np.array([4, -0.1, 8.1]), geographic=False)
    assert np.isnan(outside).any(1).all()


def test_nearest_takes_the_nearest_cell():
    places = Places((3, 3), x=np.arange(3.0), y=np.arange(3.0))
    place = places.locate(np.array([0.4, 1.6]), np.array([1.4, 2.0]), geographic=False)
    field = np.arange(9.0)
    np.testing.assert_array_equal(interpolated(places, field, place, "nearest"), [1, 8])


@pytest.mark.parametrize("turn", [0.0, 360.0, -360.0])
def test_degrees_whatever_their_turn_and_around_the_globe(turn):
    lat, lon = np.meshgrid(np.linspace(90, -90, 19), np.arange(0, 360, 10.0), indexing="ij")
    places = Places(lat.shape, lat, lon)
    place = places.locate(np.array([33.0, -90]), np.array([354.0, 0]) + turn, geographic=True)
    np.testing.assert_allclose(place, [[5.7, 35.4], [18, 0]], atol=1e-5)
    field = np.cos(np.deg2rad(lon))
    halfway = 0.6 * np.cos(np.deg2rad(350)) + 0.4
    np.testing.assert_allclose(interpolated(places, field, place)[0], halfway, atol=1e-6)


def test_a_region_across_the_date_line():
    lat, lon = np.meshgrid(np.arange(3.0), np.array([178.0, 179, -180, -179]), indexing="ij")
    place = Places(lat.shape, lat, lon).locate(np.ones(3), np.array([-179.5, 178.0, 177]), geographic=True)
    np.testing.assert_allclose(place[:2, 1], [2.5, 0], atol=1e-5)
    assert np.isnan(place[2, 1])


def test_turned_grids_are_linear_in_the_plane_that_touches_the_earth():
    s, t = np.meshgrid(np.arange(8.0), np.arange(9.0), indexing="ij")
    e, n = 0.02 * (t - 0.6 * s), 0.015 * (s + 0.5 * t)  # a sheared grid in the gnomonic plane of (60 N, 15 E)

    def degrees(e, n):
        centre = unit_vectors(60.0, 15.0)
        east = np.array([-np.sin(np.deg2rad(15)), np.cos(np.deg2rad(15)), 0])
        v = centre + e[..., None] * east + n[..., None] * np.cross(centre, east)
        v = v / np.linalg.norm(v, axis=-1, keepdims=True)
        return np.rad2deg(np.arcsin(v[..., 2])), np.rad2deg(np.arctan2(v[..., 1], v[..., 0]))

    places = Places(s.shape, *degrees(e, n))
    ps, pt = RNG.uniform(0, 7, 50), RNG.uniform(0, 8, 50)
    place = places.locate(*degrees(0.02 * (pt - 0.6 * ps), 0.015 * (ps + 0.5 * pt)), geographic=True)
    np.testing.assert_allclose(place, np.stack([ps, pt], -1), atol=2e-3)  # the plane of each point is its own
    outside = places.locate(*degrees(np.array([0.0, 0.2]), np.array([-0.01, 0.0])), geographic=True)
    assert np.isnan(outside).all()


def test_distances_and_what_is_not_known():
    equator = unit_vectors(np.zeros(2), np.array([0.0, 90]))
    chord = 6371 * np.linalg.norm(equator[1] - equator[0])
    assert arc(chord) == pytest.approx(6371 * np.pi / 2)
    with pytest.raises(DataError, match="nature: latitudes and longitudes are not known"):
        Places((2, 2), x=np.arange(2.0), y=np.arange(2.0), source="nature").locate(np.ones(1), np.ones(1), True)
