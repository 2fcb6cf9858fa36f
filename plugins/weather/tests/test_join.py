"""Files that differ in level, member, start or step, side by side."""

import numpy as np
import pytest
import xarray as xr

from genkit.errors import DataError
from genkit_weather.datasets import Own
from genkit_weather.gridded import understood, weather

T = 12
TIME = np.datetime64("2020-06-01", "ns") + 6 * np.arange(T) * np.timedelta64(1, "h")
STATE = (280 + np.random.default_rng(0).normal(size=(T, 4, 5))).astype(np.float32)


def grid(add=0.0, name="t", **scalars):
    """A variable on a small grid, raised by `add`."""
    coords = {"time": TIME, "lat": np.arange(4.0), "lon": np.arange(5.0), **scalars}
    return xr.Dataset({name: (("time", "lat", "lon"), STATE + np.float32(add), {"units": "K"})}, coords)


def together(*files, **options):
    """As one, in the order given."""
    return understood([(f"{i}.nc", file) for i, file in enumerate(files)], **options)


def test_a_level_in_each_file():
    both = [grid(k, isobaricInhPa=level) for k, level in enumerate((850.0, 500.0))]
    for files in (both, both[::-1]):
        found = together(*files)
        assert set(found.data_vars) == {"t_850", "t_500"}
        np.testing.assert_array_equal(found["t_850"], STATE)
        np.testing.assert_array_equal(found["t_500"], STATE + 1)
    assert list(together(*both, levels=(500.0,)).data_vars) == ["t_500"]
    assert list(together(both[0], grid(2, "q", isobaricInhPa=850.0)).data_vars) == ["t", "q"]
    with pytest.raises(DataError, match=r"2\.nc: t has no level, in other files it is at 500 hPa, 850 hPa"):
        together(*both, grid())


def test_control_and_perturbed_members():
    control, other = grid(number=0), grid(1).expand_dims(number=[1, 2, 3])
    for files in ((control, other), (other, control)):
        found = together(*files)
        assert found["member"].values.tolist() == [0, 1, 2, 3]
        np.testing.assert_array_equal(found["t"].sel(member=0), STATE)
        np.testing.assert_array_equal(found["t"].sel(member=2), STATE + 1)
    for files in ((grid(), other), (other, grid())):
        with pytest.raises(DataError, match="t says no member, .* has members"):
            together(*files)
    found = together(other, grid(name="q").expand_dims(number=[2, 3]))
    assert found["member"].values.tolist() == [2, 3] and "1 of 3 members are not in all" in found.attrs["notes"][0]


def forecasts(starts, steps, first=TIME[0]):
    """A file a start and step, every 12 h from `first`, with both as scalars, as of GRIB."""
    found = []
    for s in starts:
        for k in steps:
            issued, after = first + s * np.timedelta64(12, "h"), np.timedelta64(6 * k, "h")
            one = grid(100 * s + k).isel(time=0).drop_vars("time")
            found.append(
                one.assign_coords(time=issued, step=after.astype("timedelta64[ns]"), valid_time=issued + after)
            )
    return found


def test_a_start_and_step_in_each_file():
    files = forecasts((0, 1, 2), (0, 1, 2, 3))  # they overlap
    found = together(*files[::-1])
    assert found["t"].dims == ("start", "step", "y", "x") and found.sizes["start"] == 3
    np.testing.assert_array_equal(found["step"], 6 * 3600 * np.arange(4))
    expected = STATE[0] + np.float32(100 * np.arange(3)[:, None, None, None] + np.arange(4)[:, None, None])
    np.testing.assert_array_equal(found["t"], expected)
    np.testing.assert_array_equal(found["start"], TIME[:6:2].astype("datetime64[s]"))
    found = together(*files[:-1])  # the last step of one is missing
    assert found.sizes["step"] == 3 and found.sizes["start"] == 3
    assert found.attrs["notes"] == ("t: 1 of 4 steps are not in all forecasts and are left out",)
    found = together(*forecasts((0,), (0, 1, 2)))  # one forecast is a series
    np.testing.assert_array_equal(found["time"], TIME[:3].astype("datetime64[s]"))
    found = together(*forecasts((0, 1, 2), (0,)))  # so are analyses
    np.testing.assert_array_equal(found["time"], TIME[:6:2].astype("datetime64[s]"))
    with pytest.raises(DataError, match="the forecasts of t have no step in common"):
        together(*forecasts((0,), (0, 1)), *forecasts((1,), (2, 3)))


def test_precipitation_from_the_first_step_on():
    files = forecasts((0, 1), (0, 1, 2, 3))
    rain = [f.rename(t="tp") for f in files if f["step"] > np.timedelta64(0, "ns")]
    for order in (files + rain, rain + files):
        found = together(*order)
        assert found["tp"].sizes == {"start": 2, "step": 3, "y": 4, "x": 5} == found["t"].sizes
        np.testing.assert_array_equal(found["tp"], found["t"])
        assert found.attrs["notes"] == ("1 of 4 steps are not in all variables (tp) and are left out",)


def test_a_step_without_values_is_a_missing_step():
    found = together(*forecasts(range(14), range(5)))
    first, late = found["step"] == 0, (found["start"] == found["start"][1]) & (found["step"] == found["step"][4])
    file = found.assign(tp=found["t"].where(~first & ~late))
    data = weather(file, Own(frame=1, split=(0.5, 0.3)), "mine")
    assert [len(s) for s in data.train] == [4, 3, 4, 4, 4] and data.train[0].time[0] == TIME[1]
    np.testing.assert_array_equal(data.train[2].state[..., 1], file["t"].values[2, 1:])
    assert data.notes[0] == "15 times without any value of some variable are left out"
    with pytest.raises(DataError, match="mine: at each time one of t, tp has no value"):
        weather(file.assign(t=found["t"].where(first), tp=found["t"].where(~first)), Own(frame=1), "mine")
