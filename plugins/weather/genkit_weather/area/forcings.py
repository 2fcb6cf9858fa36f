"""Forcings that follow from time and place: sunshine at the top of the atmosphere, angles of the day and the year."""

import numpy as np

SOLAR_CONSTANT = 1366.0  # W/m2
NAMES = ("toa_radiation", "sin_hour", "cos_hour", "sin_year", "cos_year")


def hours(time: np.ndarray) -> np.ndarray:
    """(T,) hours UTC since midnight."""
    return (time - time.astype("datetime64[D]")) / np.timedelta64(3600, "s")


def hour_of_day(time: np.ndarray) -> np.ndarray:
    """Hours 0..23 UTC of times of any shape, integers."""
    return (time.astype("datetime64[h]") - time.astype("datetime64[D]")).astype(int)


def days(time: np.ndarray) -> np.ndarray:
    """(T,) days since the year's begin, with fraction."""
    return (time - time.astype("datetime64[Y]").astype("datetime64[s]")) / np.timedelta64(86400, "s")


def hour_angle(time: np.ndarray) -> np.ndarray:
    """(T,) radians: 0 at midnight UTC, pi at noon."""
    return 2 * np.pi * hours(time) / 24


def year_angle(time: np.ndarray) -> np.ndarray:
    """(T,) radians: 0 at the year's begin; a year of 365.25 days."""
    return 2 * np.pi * days(time) / 365.25


def toa_radiation(time: np.ndarray, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """(T, *lat.shape) W/m2 of sunshine on a horizontal plane at the top of the atmosphere.

    1366 cos(zenith), never below 0, with declination 23.45 deg sin(2 pi (284 + day of year) / 365) (Cooper 1969);
    `lat` and `lon` in degrees.
    """
    shape = (-1, *(1,) * np.ndim(lat))
    day = (np.floor(days(time)) + 1).reshape(shape)
    declination = np.deg2rad(23.45) * np.sin(2 * np.pi * (284 + day) / 365)
    sun = np.deg2rad(15 * (hours(time).reshape(shape) + np.asarray(lon, float) / 15 - 12))
    phi = np.deg2rad(np.asarray(lat, float))
    cosine = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(sun)
    return SOLAR_CONSTANT * np.maximum(cosine, 0.0)


def angles(time: np.ndarray) -> np.ndarray:
    """(T, 4): sin and cos of the hour, sin and cos of the year."""
    day, year = hour_angle(time), year_angle(time)
    return np.stack([np.sin(day), np.cos(day), np.sin(year), np.cos(year)], -1)


def standard_forcing(time: np.ndarray, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """(T, H, W, 5) float32 forcing NAMES on a grid of (H, W) latitudes and longitudes."""
    toa = toa_radiation(time, lat, lon)[..., None]
    around = np.broadcast_to(angles(time)[:, None, None], (*toa.shape[:3], 4))
    return np.concatenate([toa, around], -1).astype(np.float32)
