"""When the values of a file hold: dates of any calendar, and runs of equal steps."""

import re
from typing import Any

import numpy as np
import xarray as xr

from genkit.errors import DataError

COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)(?:[T ]?(\d\d):?(\d\d)?:?(\d\d)?)?")  # 20200101, 2020010106, 20200101T0600
ZONE = re.compile(r"(.+?)\s*(?:Z|UTC|GMT)|(.+\d[T ]\d\d.*?)\s*([+-])(\d\d):?(\d\d)?")
YEARS = np.datetime64("-9999", "s"), np.datetime64("10000", "s")  # what a date is
SECONDS = np.timedelta64(1, "s")


def dates(values: np.ndarray, source: str) -> tuple[np.ndarray, np.ndarray]:
    """(T,) datetime64[s], and seconds (T,) that have passed in the calendar of the file.

    Of calendars without leap days the dates keep their names; a year of 360 days is spread over the real one. Where
    dates and seconds differ (a leap day that the calendar lacks), steps are counted in seconds.

    Raises:
        DataError: numbers in place of dates, or nothing.
    """
    values = np.asarray(values)
    if values.dtype.kind in "SUO" and isinstance(values.ravel()[0], str | bytes):
        values = _written(values, source)
    if values.dtype.kind == "M":
        if bare := int(np.isnat(values).sum()):
            raise DataError(f"{source}: {bare} of {values.size} times have no value; drop them")
        stamps = _real(_to_second(values), source)
        return stamps, (stamps - np.datetime64(0, "s")).astype(np.int64)
    if values.dtype.kind != "O" or not hasattr(values.ravel()[0], "calendar"):
        raise DataError(
            f"{source}: time must be dates, found {values.ravel()[0]}; give it units such as "
            "'hours since 2020-01-01 00:00'"
        )
    import cftime

    calendar = values[0].calendar
    if calendar == "all_leap":
        raise DataError(f"{source}: calendar all_leap has days that do not exist; drop 29 February where there is none")
    passed = np.rint(cftime.date2num(values, "seconds since 1900-01-01", calendar)).astype(np.int64)
    if calendar in ("julian", "standard", "gregorian", "proleptic_gregorian"):
        stamps = [v.change_calendar("proleptic_gregorian") for v in values]
        return _real(np.array([v.isoformat() for v in stamps], "datetime64[s]"), source), passed
    if calendar == "360_day":
        return np.array([_spread(v) for v in values]), passed
    return np.array([v.isoformat() for v in values], "datetime64[s]"), passed


def _real(stamps: np.ndarray, source: str) -> np.ndarray:
    """The dates, none of which is a fill value."""
    far = (stamps < YEARS[0]) | (stamps >= YEARS[1])
    if far.any():
        raise DataError(
            f"{source}: {int(far.sum())} of {stamps.size} times are as {stamps[far][0]}, a fill value; drop them"
        )
    return stamps


def _written(values: np.ndarray, source: str) -> np.ndarray:
    """Dates written out, as 2020-01-01T06:00:00 (or a blank for the T) or 20200101T0600, in UTC or with a zone."""
    return np.array([_date(v.decode() if isinstance(v, bytes) else str(v), source) for v in values.ravel()])


def _date(text: str, source: str) -> np.datetime64:
    plain, zone = text.strip(), np.timedelta64(0, "m")
    if said := ZONE.fullmatch(plain):
        plain = said[1] or said[2]
        if said[3]:
            zone = np.timedelta64((-1 if said[3] == "-" else 1) * (60 * int(said[4]) + int(said[5] or 0)), "m")
    if short := COMPACT.fullmatch(plain):
        year, month, day, *clock = short.groups("00")
        plain = f"{year}-{month}-{day}T{':'.join(clock)}"
    try:
        if plain not in ("", "NaT") and not re.match(r"\d{4}-\d\d-\d\d", plain):  # numpy takes any number for a year
            raise ValueError
        return np.datetime64(plain.replace(" ", "T"), "s") - zone
    except ValueError:
        raise DataError(f"{source}: time holds {text!r}, expected dates as 2020-01-01T06:00:00") from None


def _to_second(values: np.ndarray) -> np.ndarray:
    """Nearest whole second: times in float days miss it a little."""
    fine = values.astype("datetime64[ms]").astype(np.int64)
    return ((fine + 500) // 1000).astype("datetime64[s]")


def _spread(date: Any) -> np.datetime64:
    """A date of a year of 360 days in the real one: the day's share of the year, the same time of day."""
    begin, end = (np.datetime64(f"{year:04d}-01-01", "D") for year in (date.year, date.year + 1))
    day = round((date.dayofyr - 1) * int((end - begin).astype(int)) / 360)
    clock = np.timedelta64(date.hour * 3600 + date.minute * 60 + date.second, "s")
    return (begin + np.timedelta64(day, "D")).astype("datetime64[s]") + clock


def durations(coord: xr.DataArray, source: str) -> np.ndarray:
    """(L,) seconds of a coordinate of lead times."""
    values = coord.values
    if values.dtype.kind == "m":
        return np.rint(values / SECONDS).astype(np.int64)
    if values.dtype.kind == "O":  # strings or objects
        raise DataError(f"{source}: {coord.name} holds {values.ravel()[0]!r}, expected hours")
    unit = str(coord.attrs.get("units", "hours")).lower()
    sizes = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    if unit[:1] not in sizes or unit.startswith("month"):
        raise DataError(f"{source}: {coord.name} is in {unit!r}; expected seconds, minutes, hours or days")
    return np.rint(values.astype(float) * sizes[unit[0]]).astype(np.int64)


def jitter(passed: np.ndarray) -> np.ndarray:
    """(T,) seconds to add to times that miss equal steps by a little, as days of 32 bits do; 0 where nothing helps.

    They go to whole minutes, ten minutes or hours, by at most a twentieth of the usual step.
    """

    def uneven(times: np.ndarray) -> bool:
        steps = np.diff(np.unique(times))
        return len(steps) > 1 and bool((steps % steps.min()).any())

    if uneven(passed):
        most = np.median(np.diff(np.unique(passed))) / 20
        for unit in (60, 600, 3600):
            off = (passed + unit // 2) // unit * unit - passed
            if np.abs(off).max() <= most and not uneven(passed + off):
                return off
    return np.zeros_like(passed)


def evened(file: xr.Dataset) -> xr.Dataset:
    """A file by `time` and `passed` at equal steps, where its times miss them by `jitter`, which is noted."""
    off = jitter(file["passed"].values)
    if not off.any():
        return file
    note = f"times that miss equal steps by up to {np.abs(off).max()} s are set to them"
    time, passed = file["time"].values + off.astype("timedelta64[s]"), file["passed"].values + off
    notes = (*file.attrs.get("notes", ()), note)
    return file.assign_coords(time=("time", time), passed=("time", passed)).assign_attrs(notes=notes)


def usual_step(passed: np.ndarray) -> int:
    """The most frequent step in seconds of increasing times (T,); of several the shortest."""
    steps, counts = np.unique(np.diff(passed), return_counts=True)
    return int(steps[np.argmax(counts)])


def runs(passed: np.ndarray, step: int) -> list[np.ndarray]:
    """Rows of each run of times that are `step` seconds apart, the earliest first.

    Times in between make runs of their own: hourly data in steps of three hours have three runs.
    """
    place = {int(t): i for i, t in enumerate(passed)}
    found = []
    for first in map(int, passed):
        if first - step in place:
            continue
        count = 1
        while first + count * step in place:
            count += 1
        found.append(np.array([place[first + k * step] for k in range(count)]))
    return found
