"""Small files of own gridded data, whose kinds the tests change."""

import numpy as np
import xarray as xr

T, H, W = 40, 10, 12
TIME = np.datetime64("2020-06-01", "s") + 6 * np.arange(T) * np.timedelta64(1, "h")
HOURS = {"units": "hours since 2020-06-01", "calendar": "proleptic_gregorian"}
STATE = (280 + np.random.default_rng(0).normal(size=(T, H, W))).astype(np.float32)
LAT, LON = np.linspace(50, 54.5, H), np.linspace(5, 10.5, W)


def usual(state=STATE, lat=LAT, lon=LON, dims=("time", "lat", "lon"), time=TIME, **attrs):
    """Temperature on a grid of latitudes and longitudes."""
    attrs = {"units": "K", "long_name": "temperature"} | attrs
    return xr.Dataset({"t2m": (dims, state, attrs)}, dict(zip(dims, (time, lat, lon), strict=True)))


def plane(x=2000.0, units="m", **more):
    """Temperature on rows and columns of a plane, `x` of the units apart."""
    coords = {
        "time": TIME,
        "x": ("x", x * np.arange(W), {"units": units}),
        "y": ("y", x * np.arange(H), {"units": units}),
    }
    return xr.Dataset({"t2m": (("time", "y", "x"), STATE, {"units": "K"}), **more}, coords)


def whole(data, v=0):
    """(T, H, W) of a variable over all splits of one series each."""
    return np.concatenate([np.asarray(s.state[..., v]) for (s,) in data.splits().values()])
