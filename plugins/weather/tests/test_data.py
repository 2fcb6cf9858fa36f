"""The data classes: geometry, statistics, and errors that name the place."""

from dataclasses import replace

import numpy as np
import pytest

from genkit.errors import DataError
from genkit_weather.data import check, frames, statistics, take, truth
from genkit_weather.lazy import Lazy


def test_interior_and_frame_share_the_grid(toy_data):
    data = toy_data()
    rows, columns = data.interior
    assert (rows, columns) == (slice(1, 4), slice(2, 4))
    assert data.frame_mask.sum() == 30 - 6 and not data.frame_mask[rows, columns].any()
    assert toy_data(frame=(0, 0)).frame_mask.sum() == 0


def test_statistics_are_moments_over_series_times_and_cells(toy_data):
    data = toy_data()
    stats = statistics(data)
    pooled = np.concatenate([s.state.reshape(-1, 2) for s in data.train]).astype(float)
    assert np.allclose(stats.mean, pooled.mean(0), rtol=1e-5) and np.allclose(stats.std, pooled.std(0), rtol=1e-5)
    steps = [np.diff((s.state - stats.mean) / stats.std, axis=0) for s in data.train]  # never across two series
    pooled = np.concatenate([s.reshape(-1, 2) for s in steps]).astype(float)
    assert np.allclose(stats.diff_mean, pooled.mean(0), atol=1e-6) and np.allclose(
        stats.diff_std, pooled.std(0), rtol=1e-5
    )
    assert stats.forcing_mean.shape == stats.forcing_std.shape == (3,) and stats.static_std.shape == (1,)


def test_statistics_in_pieces_are_those_of_the_whole(toy_data, monkeypatch):
    whole = statistics(toy_data())
    monkeypatch.setattr("genkit_weather.data.BLOCK", 3)
    pieces = statistics(toy_data())
    assert np.allclose(whole.std, pieces.std, rtol=1e-6) and np.allclose(whole.diff_std, pieces.diff_std, rtol=1e-6)
    assert np.allclose(whole.diff_mean, pieces.diff_mean, atol=1e-7)


def test_constant_forcing_and_no_forcing_are_allowed(toy_data):
    data = toy_data()
    still = tuple(replace(s, forcing=np.ones_like(s.forcing)) for s in data.train)
    assert (statistics(replace(data, train=still)).forcing_std == 1).all()
    none = {k: tuple(replace(s, forcing=s.forcing[..., :0]) for s in v) for k, v in data.splits().items()}
    bare = check(replace(data, **none, forcing_names=(), static=data.static[..., :0], static_names=()))
    assert statistics(bare).forcing_mean.shape == (0,)


def spoilt(data, split, **changes):
    return replace(data, **{split: (*getattr(data, split)[:-1], replace(getattr(data, split)[-1], **changes))})


def test_errors_name_data_set_variable_and_place(toy_data):
    data = check(toy_data())
    state = data.train[1].state.copy()
    state[4, 2, 3, 1] = np.nan
    with pytest.raises(DataError, match="toy: train series 1: variable b is not finite at time 4, y 2, x 3"):
        check(spoilt(data, "train", state=state))
    with pytest.raises(DataError, match=r"toy: val series 0: state has shape \(7, 5, 5, 2\), expected \(7, 5, 6, 2\)"):
        check(spoilt(data, "val", state=data.val[0].state[:, :, 1:]))
    with pytest.raises(DataError, match="toy: test series 0: forcing has shape"):
        check(spoilt(data, "test", forcing=data.test[0].forcing[:3]))
    with pytest.raises(DataError, match="toy: test series 0: time does not increase at index 2"):
        check(spoilt(data, "test", time=data.test[0].time[[0, 1, 1, 3, 4, 5, 6]]))
    with pytest.raises(DataError, match="toy: variable a has zero standard deviation"):
        check(replace(data, train=tuple(replace(s, state=s.state * [0, 1]) for s in data.train)))
    with pytest.raises(DataError, match=r"toy: frame \(3, 2\) leaves no interior"):
        check(replace(data, frame=(3, 2)))
    with pytest.raises(DataError, match="toy: units has 1 entries for 2 variables"):
        check(replace(data, units=("K",)))
    static = data.static.copy()
    static[3, 1] = np.inf
    with pytest.raises(DataError, match="toy: variable s is not finite at y 3, x 1"):
        check(replace(data, static=static))


def test_leads_count_from_the_last_known_state(toy_data):
    series = toy_data().test[0]
    got = truth(series, [1, 3], [0, 2])
    assert got.shape == (2, 2, 5, 6, 2)
    assert (got[1, 1] == series.state[5]).all() and (got[0, 0] == series.state[1]).all()
    with pytest.raises(DataError, match=r"times 5\.\.8 asked of a series of 7"):
        truth(series, [3], [2, 5])
    with pytest.raises(DataError):
        take(series.state, np.array([-1]))


def test_boundary_data_come_from_the_host_then_the_frame_then_the_truth(toy_data):
    series = toy_data().test[0]
    assert (frames(series, [2], [1]) == series.state[3]).all()
    other = replace(series, lateral=series.state + 1)
    assert (frames(other, [2], [1]) == series.state[3] + 1).all()
    hosted = replace(other, host=lambda starts, leads: np.full((len(starts), len(leads), 5, 6, 2), 7.0))
    assert frames(hosted, [2, 3], [0, 1, 2]).shape == (2, 3, 5, 6, 2)
    assert frames(hosted, [2], [1]).max() == 7
    assert (hosted.boundary == other.lateral).all() and (hosted.known == series.state).all()


def test_a_lazy_array_indexes_like_the_array_it_stands_for():
    array = np.random.default_rng(0).standard_normal((6, 4, 3)).astype(np.float32)
    asked = []

    def read(rows):
        asked.append(len(rows))
        return array[rows]

    lazy = Lazy(array.shape, read)
    for index in (2, -1, slice(1, 4), np.array([3, 0]), (slice(None, 2), 1), (4, slice(1, 3), 2), (np.array([1]), 0)):
        assert np.array_equal(lazy[index], array[index])
    assert asked[0] == 1 and len(lazy) == 6 and lazy.ndim == 3
    assert np.array_equal(np.asarray(lazy), array) and np.array_equal(lazy[..., 1], array[..., 1])
