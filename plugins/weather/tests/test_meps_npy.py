"""The MEPS numpy layout, from small files written here."""

import numpy as np
import pytest

from genkit.errors import DataError
from genkit_weather.data import check, statistics
from genkit_weather.datasets.meps_npy import MEPS

H, W = 6, 7
DATES = {"train": ("2022040100", "2022040212"), "val": ("2022060100",), "test": ("2022090100",)}


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(0)
    static = tmp_path / "static"
    static.mkdir()
    x, y = np.meshgrid(np.arange(W) * 10_000.0, np.arange(H) * 10_000.0)
    np.save(static / "nwp_xy.npy", np.stack([x, y]))
    np.save(static / "surface_geopotential.npy", rng.standard_normal((H, W)))
    border = np.ones((H, W), bool)
    border[1:-1, 2:-2] = False
    np.save(static / "border_mask.npy", border)
    for split, dates in DATES.items():
        folder = tmp_path / "samples" / split
        folder.mkdir(parents=True)
        for date in dates:
            for member in (0, 2):
                states = rng.standard_normal((65, H, W, 18)).astype(np.float32)
                np.save(folder / f"nwp_{date}_mbr{member:03}.npy", states)
            np.save(folder / f"nwp_toa_downwelling_shortwave_flux_{date}.npy", rng.random((65, H, W)))
            np.save(folder / f"wtr_{date}.npy", rng.random((H, W)))
    return tmp_path


def test_series_are_forecasts_members_and_phases(root):
    data = MEPS(root).load()
    assert (len(data.train), len(data.val), len(data.test)) == (2 * 2 * 3, 2, 2)
    assert data.grid == (H, W) and data.frame == (1, 2) and data.step_hours == 3
    assert len(data.names) == len(data.units) == 17
    assert np.allclose(data.x, np.arange(W) * 10) and np.allclose(data.y, np.arange(H) * 10)  # km
    assert np.array_equal(data.static[..., 3], data.frame_mask)
    assert data.train[1].state.shape == (21, H, W, 17)
    assert data.train[1].time[0] == np.datetime64("2022-04-01T01") and len(data.train[1]) == 21
    check(data)
    assert statistics(data).forcing_mean.shape == (6,)


def test_statistics_are_found_once(root, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(root / "cache"))
    found = statistics(MEPS(root).load())
    monkeypatch.setattr("genkit_weather.data._statistics", lambda data: pytest.fail("found again"))
    np.testing.assert_array_equal(statistics(MEPS(root).load()).std, found.std)
    with pytest.raises(pytest.fail.Exception):
        statistics(MEPS(root, step=6).load())
    np.save(root / "samples/train/wtr_2022040100.npy", np.ones((H, W)))
    with pytest.raises(pytest.fail.Exception):
        statistics(MEPS(root).load())


def test_states_are_picked_and_radiation_is_summed(root):
    data = MEPS(root).load()
    raw = np.load(root / "samples/train/nwp_2022040100_mbr000.npy")
    second = data.train[1]  # phase 1
    state = np.asarray(second.state)
    names = data.names
    assert np.array_equal(state[4][..., names.index("t_2")], raw[13][..., 6])
    assert np.array_equal(state[4][..., names.index("z_500")], raw[13][..., 17])  # behind the dropped feature
    assert np.array_equal(state[4][..., names.index("wvint_0")], raw[13][..., 14])
    for name, feature in (("nlwrs_0", 2), ("nswrs_0", 3)):
        assert np.allclose(state[4][..., names.index(name)], raw[11:14][..., feature].sum(0), atol=1e-5)
        assert np.allclose(state[0][..., names.index(name)], raw[0:2][..., feature].sum(0), atol=1e-5)
    assert np.array_equal(second.state[[4, 0], 2], state[[4, 0], 2])


def test_forcing_is_that_of_one_time(root):
    data = MEPS(root).load()
    series = data.train[8]  # 2022-04-02 12 UTC, member 0, phase 2
    assert series.time[1] == np.datetime64("2022-04-02T17")
    forcing = series.forcing[1]
    assert np.allclose(forcing[..., 0], np.load(root / "samples/train/wtr_2022040212.npy"))
    toa = np.load(root / "samples/train/nwp_toa_downwelling_shortwave_flux_2022040212.npy")
    assert np.allclose(forcing[..., 1], toa[5])
    hour = 2 * np.pi * 17 / 24
    assert np.allclose(forcing[..., 2], (np.sin(hour) + 1) / 2) and np.allclose(forcing[..., 3], (np.cos(hour) + 1) / 2)
    assert 0 <= np.asarray(series.forcing)[..., 2:].min() and np.asarray(series.forcing)[..., 2:].max() <= 1


def test_faults_of_the_files_are_named(root):
    path = root / "samples/val/nwp_2022060100_mbr002.npy"
    states = np.load(path)
    states[6, 3, 4, 6] = np.nan
    np.save(path, states)
    series = MEPS(root).load().val[1]
    assert np.isfinite(series.state[1]).all()
    with pytest.raises(DataError, match="mbr002.npy: variable t_2 is not finite at hour 6, y 3, x 4"):
        series.state[2]
    np.save(path, states[:60])
    with pytest.raises(DataError, match=r"mbr002.npy: shape \(60, 6, 7, 18\), expected \(65, 6, 7, 18\)"):
        MEPS(root).load().val[1].state[0]
    (root / "samples/val/wtr_2022060100.npy").unlink()
    with pytest.raises(DataError, match="wtr_2022060100.npy: no such file"):
        MEPS(root).load().val[0].forcing[0]
    for file in (root / "samples/test").glob("nwp_*_mbr*.npy"):
        file.unlink()
    with pytest.raises(DataError, match="test: no file nwp_YYYYMMDDHH_mbrMMM.npy"):
        MEPS(root).load()


def test_a_border_must_be_a_frame(root):
    border = np.load(root / "static/border_mask.npy")
    border[3, 3] = True
    np.save(root / "static/border_mask.npy", border)
    with pytest.raises(DataError, match="border_mask.npy: the border is not a frame"):
        MEPS(root).load()
    (root / "static/nwp_xy.npy").unlink()
    with pytest.raises(DataError, match="nwp_xy.npy: no such file"):
        MEPS(root).load()
