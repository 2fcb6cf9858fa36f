"""Stores of mllam-data-prep, from small ones written here."""

from dataclasses import replace

import dask.array
import numpy as np
import pytest
import xarray as xr

from genkit.errors import DataError
from genkit_weather import gridded
from genkit_weather.data import check, statistics
from genkit_weather.datasets.mdp_zarr import MDP

H, W, T = 6, 8, 30
STEP = np.timedelta64(3, "h")
BEGIN = np.datetime64("2020-01-01T00", "ns")
STATE = np.random.default_rng(0).standard_normal((T, H, W, 2)) * [1, 5] + [280, 0]
FORCING = np.random.default_rng(1).standard_normal((T, H, W, 1))
STATIC = np.random.default_rng(2).standard_normal((H, W, 1))


def store(x_first=True, forecasts=False):
    """The store as data-prep writes it: points stacked x then y (x outer) or the other way."""

    def stack(array):
        """(..., H, W, F) to (..., grid_index, F)."""
        ordered = np.moveaxis(array, -2, -3) if x_first else array
        return ordered.reshape(*array.shape[:-3], H * W, array.shape[-1])

    y, x = np.meshgrid(np.arange(H) * 2500.0, 1e5 + np.arange(W) * 2500.0, indexing="ij")
    place = {name: ("grid_index", stack(a[..., None])[:, 0]) for name, a in (("x", x), ("y", y))}
    if forecasts:
        dims = ("analysis_time", "elapsed_forecast_duration")
        parts = {k: stack(a).reshape(5, 6, H * W, -1) for k, a in (("state", STATE), ("forcing", FORCING))}
        day = BEGIN + np.arange(5) * np.timedelta64(24, "h")
        coords = {"analysis_time": day, "elapsed_forecast_duration": np.arange(6) * STEP.astype("timedelta64[ns]")}
        bounds = [(day[0], day[2]), (day[3], day[3]), (day[4], day[4])]
    else:
        dims, parts = ("time",), {"state": stack(STATE), "forcing": stack(FORCING)}
        time = BEGIN + np.arange(T) * STEP
        coords = {"time": time}
        bounds = [(time[0], time[17]), (time[18], time[23]), (time[24], time[-1])]
    train = STATE[:18]
    std = train.std((0, 1, 2))
    return xr.Dataset(
        {
            "state": ((*dims, "grid_index", "state_feature"), parts["state"]),
            "forcing": ((*dims, "grid_index", "forcing_feature"), parts["forcing"]),
            "static": (("grid_index", "static_feature"), stack(STATIC)),
            "splits": (("split_name", "split_part"), np.array(bounds).astype("datetime64[s]").astype(str)),
            "state__train__mean": ("state_feature", train.mean((0, 1, 2))),
            "state__train__std": ("state_feature", std),
            "state__train__diff_mean": ("state_feature", np.diff(train, axis=0).mean((0, 1, 2))),
            "state__train__diff_std": ("state_feature", np.diff(train, axis=0).std((0, 1, 2))),
            "forcing__train__mean": ("forcing_feature", FORCING[:18].mean((0, 1, 2))),
            "forcing__train__std": ("forcing_feature", FORCING[:18].std((0, 1, 2))),
            "static__train__mean": ("static_feature", STATIC.mean((0, 1))),
            "static__train__std": ("static_feature", STATIC.std((0, 1))),
        },
        coords={
            **coords,
            **place,
            "state_feature": ["t2m", "u10"],
            "state_feature_units": ("state_feature", ["K", "m/s"]),
            "forcing_feature": ["toa"],
            "static_feature": ["orography"],
            "split_name": ["train", "val", "test"],
            "split_part": ["start", "end"],
        },
    )


def load(tmp_path, dataset, frame=2):
    path = tmp_path / "danra.zarr"
    dataset.to_zarr(path, mode="w", zarr_format=2)
    return MDP(path, frame=frame).load()


@pytest.mark.parametrize("x_first", [True, False])
def test_points_find_their_cells_in_either_order(tmp_path, x_first):
    data = load(tmp_path, store(x_first))
    assert data.grid == (H, W) and data.frame == (2, 2) and data.step_hours == 3
    assert np.allclose(data.x, 100 + np.arange(W) * 2.5) and np.allclose(data.y, np.arange(H) * 2.5)
    assert [len(s[0]) for s in (data.train, data.val, data.test)] == [18, 6, 6]
    assert np.allclose(data.val[0].state[[1, 3]], STATE[[19, 21]], atol=1e-4)
    assert np.allclose(np.asarray(data.test[0].forcing), FORCING[24:], atol=1e-5)
    assert np.allclose(data.static, STATIC, atol=1e-6)
    assert data.names == ("t2m", "u10") and data.units == ("K", "m/s") and data.long_names == data.names
    assert data.test[0].time[0] == np.datetime64("2020-01-04T00")


def test_stored_statistics_are_those_of_the_data(tmp_path):
    data = load(tmp_path, store())
    stored, found = statistics(check(data)), statistics(replace(data, stored=None))
    assert data.stored is stored
    for name in ("mean", "std", "diff_mean", "diff_std", "forcing_std", "static_mean"):
        assert np.allclose(getattr(stored, name), getattr(found, name), rtol=1e-4, atol=1e-5), name


def test_forcing_static_and_statistics_are_optional(tmp_path):
    bare = store()[["state", "splits"]].drop_vars(["forcing_feature", "static_feature"], errors="ignore")
    data = check(load(tmp_path, bare))
    assert data.stored is None and data.static.shape == (H, W, 0) and data.train[0].forcing.shape == (18, 1, 1, 0)
    assert statistics(data).mean[0] == pytest.approx(280, abs=0.2)


def test_statistics_that_are_not_stored_are_found_once(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))
    bare = store()[["state", "splits"]]
    found = statistics(load(tmp_path, bare))
    np.testing.assert_allclose(found.std, STATE[:18].std((0, 1, 2)), rtol=1e-5)
    monkeypatch.setattr("genkit_weather.data._statistics", lambda data: pytest.fail("found again"))
    np.testing.assert_array_equal(statistics(MDP(tmp_path / "danra.zarr", frame=2).load()).std, found.std)
    with pytest.raises(pytest.fail.Exception):  # of another store
        statistics(load(tmp_path, bare.assign(state=bare["state"] + 1)))


def test_times_that_are_missing_cut_a_split(tmp_path):
    data = load(tmp_path, store().isel(time=[*range(7), *range(9, T)]))
    assert [len(s) for s in data.train] == [7, 9]
    np.testing.assert_allclose(data.train[1].state[0], STATE[9], atol=1e-4)
    assert "a gap (2020-01-01T18:00:00 to 2020-01-02T03:00:00; the step is 3 h)" in data.notes[0]
    for kept, lengths in (([0, *range(2, T)], [16]), ([*range(5), 6, *range(8, T)], [5, 10])):  # one time stands alone
        data = check(load(tmp_path, store().isel(time=kept)))
        assert data.step_hours == 3 and [len(s) for s in data.train] == lengths
        assert data.notes[1:] == ("train: pieces of fewer than 3 states are left out (1)",)
    with pytest.raises(DataError, match=r"danra.zarr: too few times \(1\); a forecast needs 3 in a row"):
        load(tmp_path, store().isel(time=[0]))
    with pytest.raises(DataError, match="split val .* has no 3 states in a row, 3 h apart"):
        load(tmp_path, store().isel(time=[*range(20), 23, *range(24, T)]))


def test_a_read_takes_its_rows_of_the_store_once(tmp_path, monkeypatch):
    """Not of each feature laid out over all times, which grows with the store; its files are looked through once."""
    taken, looked, take, look = [], [], dask.array.Array.__getitem__, gridded.stamp
    monkeypatch.setattr(gridded, "stamp", lambda path: looked.append(path) or look(path))
    state = load(tmp_path, store()).train[0].state
    assert len(looked) == 1
    monkeypatch.setattr(dask.array.Array, "__getitem__", lambda a, i: taken.append(a.shape) or take(a, i))
    np.testing.assert_allclose(state[[5, 2]], STATE[[5, 2]], atol=1e-4)
    assert taken == [(T, H * W, 2)]


def test_forecasts_are_series_of_their_own(tmp_path):
    data = load(tmp_path, store(forecasts=True))
    assert [len(s) for s in (data.train, data.val, data.test)] == [3, 1, 1]
    assert np.allclose(np.asarray(data.train[2].state), STATE[12:18], atol=1e-4)
    assert data.train[2].issued == data.train[2].time[0]
    assert data.train[2].time[1] == np.datetime64("2020-01-03T03")
    data = load(tmp_path, store(forecasts=True).isel(elapsed_forecast_duration=[0, 1, 2, 4]))
    assert [len(s) for s in data.train] == [3, 3, 3] and data.step_hours == 3
    assert "a gap (21600 seconds to 43200 seconds; the step is 3 h)" in data.notes[0]


def test_faults_of_the_store_are_named(tmp_path):
    with pytest.raises(DataError, match="none.zarr: no such zarr store"):
        MDP(tmp_path / "none.zarr").load()
    whole = store()
    with pytest.raises(DataError, match="danra.zarr: variable state is missing"):
        load(tmp_path, whole.drop_vars("state"))
    with pytest.raises(DataError, match="frame of 3 leaves no interior"):
        load(tmp_path, whole, frame=3)
    with pytest.raises(DataError, match=r"47 points do not fill a grid of 6 x 8 cells"):
        load(tmp_path, whole.isel(grid_index=slice(47)))
    with pytest.raises(DataError, match="no split test"):
        load(tmp_path, whole.isel(split_name=slice(2)))
    holed = whole.copy(deep=True)
    holed["state"][25, 0, 1] = np.nan
    series = load(tmp_path, holed).test[0]
    with pytest.raises(DataError, match="danra.zarr, state: u10 is not finite at 2020-01-04T03:00:00, y 0, x 0"):
        series.state[1]


def test_boundary_data_may_be_scattered_points_without_state(tmp_path):
    whole = store()
    band = whole.drop_vars(["state", "state_feature", "state_feature_units"]).isel(grid_index=[0, 3, 7, 11, 40])
    with pytest.raises(DataError, match=r"coordinate lat\(grid_index\) is missing"):
        load_points(tmp_path, band)
    band = band.assign_coords(lat=("grid_index", np.arange(5.0)), lon=("grid_index", np.arange(5.0) + 10))
    data = check(load_points(tmp_path, band))
    assert data.grid == (1, 5) and data.frame == (0, 0) and data.names == () and data.lon[0, 4] == 14
    order = FORCING.swapaxes(1, 2).reshape(T, H * W, 1)[:, [0, 3, 7, 11, 40]]
    np.testing.assert_allclose(data.train[0].forcing[:, 0], order[:18], rtol=1e-5)
    assert statistics(data).forcing_std[0] == pytest.approx(FORCING[:18].std(), rel=1e-5)


def load_points(tmp_path, dataset):
    dataset.to_zarr(tmp_path / "era.zarr", mode="w", zarr_format=2)
    return MDP(tmp_path / "era.zarr", points=True).load()
