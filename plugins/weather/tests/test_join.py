"""Files that differ in level, member, start or step, side by side."""

import numpy as np
import pytest
import xarray as xr

from genkit.errors import DataError
from genkit_weather.gridded import understood

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
