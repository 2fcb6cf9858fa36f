"""Sunshine and angles at places and times worked out by hand."""

import numpy as np
import pytest

from genkit_weather.area.forcings import angles, hour_angle, standard_forcing, toa_radiation, year_angle


def moment(day: int, hour: int) -> np.ndarray:
    """Day of year (from 1) and hour UTC in 2019."""
    return np.array([np.datetime64("2019-01-01T00", "s") + np.timedelta64(24 * (day - 1) + hour, "h")])


@pytest.mark.parametrize(
    ("lat", "lon", "day", "hour", "expected"),
    [
        (0, 0, 81, 12, 1366.0),
        (60, 15, 172, 11, 1097.3559),
        (60, 15, 355, 11, 155.8251),
        (47, 8, 40, 12, 628.1168),
        (56, 10, 40, 0, 0.0),
    ],
)
def test_radiation_at_the_top_of_the_atmosphere(lat, lon, day, hour, expected):
    assert toa_radiation(moment(day, hour), np.array(lat), np.array(lon))[0] == pytest.approx(expected, abs=1e-3)


def test_angles_of_day_and_year():
    assert hour_angle(moment(5, 6))[0] == pytest.approx(np.pi / 2)
    assert year_angle(moment(1, 0))[0] == 0
    assert year_angle(moment(183, 15))[0] == pytest.approx(np.pi, abs=1e-9)  # 182.625 days
    assert np.allclose(angles(moment(1, 6)), [[1, 0, 0.00430, 1]], atol=1e-4)


def test_forcing_on_a_grid():
    lat, lon = np.meshgrid([50.0, 60.0, 70.0], [0.0, 90.0], indexing="ij")
    time = np.concatenate([moment(172, h) for h in (0, 6, 12)])
    out = standard_forcing(time, lat, lon)
    assert out.shape == (3, 3, 2, 5) and out.dtype == np.float32
    assert out[2, 0, 0, 0] > out[2, 0, 1, 0]  # noon in Greenwich, evening at 90 E
    assert np.allclose(out[1, :, :, 1], 1) and (out[..., 1:] == out[:, :1, :1, 1:]).all()
