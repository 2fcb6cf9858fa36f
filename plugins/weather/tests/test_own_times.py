"""Own gridded data: calendars, series, members, forecasts and splits."""

import numpy as np
import pytest
from own_files import STATE, TIME, T, usual, whole

from genkit.errors import DataError, UsageError
from genkit_weather.datasets import Own, from_xarray


@pytest.mark.parametrize("calendar, leap", [("noleap", 6 * 3600), ("360_day", None), ("julian", None)])
def test_calendars(written, calendar, leap):
    """A year without 29 February goes on without a gap, and dates keep their names."""
    import cftime

    begin = cftime.datetime(2020, 2, 26, 0, calendar=calendar)
    dates = [begin + np.timedelta64(6 * i, "h").astype(object) for i in range(T)]
    data = written(usual(time=dates))
    assert data.step_hours == 6 and [len(s) for (s,) in data.splits().values()] == [28, 4, 8]
    time = np.concatenate([s.time for (s,) in data.splits().values()])
    assert (np.diff(time) > np.timedelta64(0)).all()
    assert (np.unique((time - time.astype("datetime64[D]")).astype(int)) == [0, 21600, 43200, 64800]).all()
    if leap:
        jump = int(np.argmax(np.diff(time) > np.timedelta64(6, "h")))
        assert [str(t) for t in time[jump : jump + 2]] == ["2020-02-28T18:00:00", "2020-03-01T00:00:00"]


def test_members_are_series_that_share_no_time_between_splits(written, tmp_path):
    file = usual().expand_dims(number=[3, 5, 7], axis=1).copy(deep=True)
    file["t2m"].values[:, 1] += 1
    data = written(file)
    assert [[len(s) for s in split] for split in data.splits().values()] == [[28] * 3, [4] * 3, [8] * 3]
    ends = [max(s.time[-1] for s in split) for split in (data.train, data.val)]
    assert ends[0] < min(s.time[0] for s in data.val) and ends[1] < min(s.time[0] for s in data.test)
    np.testing.assert_array_equal(data.val[1].state, data.val[0].state + 1)
    one = written(file, "b.nc", member=5)
    np.testing.assert_array_equal(whole(one), STATE + 1)
    with pytest.raises(UsageError, match=r"member=4 is not in .*; it has \[3, 5, 7\]"):
        written(file, "c.nc", member=4)
    for m in range(2):  # a file a member
        file.isel(number=m).to_netcdf(tmp_path / f"m{m}.nc", engine="h5netcdf")
    assert len(Own(str(tmp_path / "m*.nc"), frame=2).load().train) == 2


def test_forecasts_are_whole_in_one_split(written):
    """Every 6 h a forecast of five lead times: the last of a split reach into the next and are left out."""
    rows = np.arange(T)[:, None] + np.arange(5)
    state = np.concatenate([STATE, STATE])[rows]
    file = usual().expand_dims(step=5 * [0], axis=1).copy(data={"t2m": state})
    file = file.assign_coords(step=("step", 6 * np.arange(5), {"units": "hours"}))
    data = written(file, split=(0.6, 0.2))
    assert [len(split) for split in data.splits().values()] == [24 - 4, 8 - 4, 8]
    assert {len(s) for s in data.train} == {5} and data.train[2].issued == TIME[2]
    np.testing.assert_array_equal(data.train[2].time, TIME[2:7])
    np.testing.assert_array_equal(data.train[2].state[..., 0], STATE[2:7])
    assert max(s.time[-1] for s in data.train) < min(s.time[0] for s in data.val)


def test_one_forecast_is_a_series(written):
    file = usual().rename(time="step").assign_coords(step=6.0 * np.arange(T), time=TIME[0])
    file["step"].attrs["units"] = "hours"
    np.testing.assert_array_equal(np.concatenate([s.time for (s,) in written(file).splits().values()]), TIME)


def test_gaps_cut_series(written):
    data = written(usual().isel(time=[*range(10), *range(12, 20), *range(21, T)]))
    assert [len(s) for s in data.train] == [
        10,
        8,
        8,
    ] and "2 gaps (2020-06-03T06:00:00 to 2020-06-04T00:00:00" in data.notes[0]
    for series in data.train:
        assert (np.diff(series.time) == np.timedelta64(6, "h")).all()
    lost = usual().copy(deep=True)
    lost["t2m"].values[5] = np.nan  # a time without any value is a gap too
    lost = written(lost, "b.nc")
    assert [len(s) for s in lost.train] == [5, 22] and "1 times without any value" in lost.notes[0]


def test_phases_of_a_longer_step(written):
    data = written(usual(), step=12, split=(0.5, 0.25))
    assert data.step_hours == 12 and [len(s) for s in data.train] == [10, 10]
    np.testing.assert_array_equal(data.train[1].time, TIME[1:20:2])
    with pytest.raises(UsageError, match="step=9 h is no multiple of the 6 h"):
        written(usual(), "b.nc", step=9)
    rain = usual(cell_methods="time: sum")
    with pytest.raises(UsageError, match="t2m is a sum over a time"):
        written(rain, "c.nc", step=12, split=(0.5, 0.25))


def test_splits_by_dates(written):
    spans = {
        "train": ("2020-06-03", "2020-06-06"),
        "val": ("2020-06-01", "2020-06-02"),
        "test": ("2020-06-08", "2020-06-10"),
    }
    data = written(usual(), **spans)
    assert [len(s) for (s,) in data.splits().values()] == [16, 8, 12]
    assert data.train[0].time[0] == np.datetime64("2020-06-03") and str(data.val[0].time[-1]) == "2020-06-02T18:00:00"
    with pytest.raises(UsageError, match="val and train overlap"):
        written(usual(), "b.nc", **(spans | {"val": ("2020-06-01", "2020-06-03")}))
    with pytest.raises(UsageError, match="train have dates, val, test have none"):
        written(usual(), "c.nc", train=spans["train"])

    years = usual(time=np.datetime64("2000-01-01", "ns") + 20 * np.arange(T) * np.timedelta64(1, "D"))
    data = written(years, "d.nc", train=("2000", "2000"), val=("2001-01", "2001-07"), test=("2001-08-01", "2002-03"))
    assert [str(s.time[-1])[:10] for (s,) in data.splits().values()] == ["2000-12-26", "2001-07-14", "2002-02-19"]


def test_months_are_no_equal_steps():
    months = (np.datetime64("2000-01", "M") + np.arange(T)).astype("datetime64[ns]")
    with pytest.raises(
        DataError, match="mine: only 18 of 40 times stand in rows of 3 or more, 744 h apart; steps must be equal"
    ):
        from_xarray(usual(time=months), frame=2, source="mine")


@pytest.mark.parametrize(
    "name, units, is_sum",
    [
        ("tp", "m", True),
        ("RAINC", "mm", True),
        ("total_precipitation", "mm", True),
        ("surface_solar_radiation_downwards", "J m**-2", True),
        ("precipitation", "mm h-1", False),
        ("precipitation_flux", "kg m-2 s-1", False),
        ("net_radiation", "W m-2", False),
    ],
)
def test_sums_by_their_names(name, units, is_sum):
    file = usual(units=units).rename(t2m=name)
    if is_sum:
        with pytest.raises(UsageError, match=f"{name} is a sum over a time"):
            from_xarray(file, frame=2, step=12, split=(0.1, 0.1))
    else:
        assert from_xarray(file, frame=2, step=12, split=(0.5, 0.25)).step_hours == 12
    total = file.copy(data={name: np.cumsum(file[name], 0)})
    assert is_sum == any(f"{name} only grows" in note for note in from_xarray(total, frame=2).notes)
