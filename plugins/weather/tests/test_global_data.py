"""Global data: the whole nature run, an Ornstein-Uhlenbeck process, WeatherBench's files, written here."""

import numpy as np
import pytest
import xarray as xr

from genkit.errors import DataError, UsageError
from genkit_weather.data import check, statistics
from genkit_weather.datasets.ou import OU
from genkit_weather.datasets.qg_global import QGGlobal
from genkit_weather.datasets.weatherbench1 import WeatherBench1


@pytest.fixture(scope="module")
def globe(small_nature):
    return QGGlobal(small_nature[0]).load()


def test_the_globe_holds_the_limited_area_as_block_means(small_nature, globe):
    area = small_nature[1]
    for split in ("train", "test"):
        fine, coarse = area.splits()[split][0], globe.splits()[split][0]
        means = fine.state.reshape(len(fine), 16, 2, 16, 2, 5).mean((2, 4))
        np.testing.assert_allclose(coarse.state[:, 8:24, 6:22], means, atol=1e-4)
        np.testing.assert_array_equal(coarse.forcing, fine.forcing)
        np.testing.assert_array_equal(coarse.time, fine.time)
    ground = area.static[..., :2].reshape(16, 2, 16, 2, 2).mean((1, 3))
    np.testing.assert_allclose(globe.static[8:24, 6:22, :2], ground, atol=1e-6)
    assert globe.frame == (0, 0) and globe.x[1] == 600 and globe.layout == QGGlobal().layout()


def test_its_winds_are_periodic_derivatives_of_the_streamfunction(globe):
    """Centred differences of the lower streamfunction across the ends of the domain; a cell is one unit long."""
    state = globe.test[0].state
    psi = state[..., 0] - state[..., 1]
    for sign, axis, wind in ((-1, 1, 3), (1, 2, 4)):
        slope = sign * (np.roll(psi, -1, axis) - np.roll(psi, 1, axis)) / 2
        error = (slope - state[..., wind]).take([0, -1], axis)
        assert error.std() < 0.35 * state[..., wind].std()


def test_exact_draws_of_the_globe_spread_with_the_lead(globe):
    out = globe.oracle([3, 8], 3, [0, 1, 4])
    assert out.shape == (2, 3, 3, 32, 32, 5)
    np.testing.assert_allclose(out[:, 0, 1], globe.test[0].state[[3, 8]], atol=2e-3)
    spread = out.std(2).mean((0, 2, 3, 4))
    assert spread[0] < 1e-6 < spread[1] < spread[2]


def test_the_process_forgets_at_its_rate():
    data = OU(kappa=0.6, cells=10, train=1500).load()
    x = data.train[0].state
    assert x.std() == pytest.approx(1, rel=0.02)
    for steps in (1, 4):
        np.testing.assert_allclose((x[steps:] * x[:-steps]).mean(), np.exp(-0.6 * steps / 4), atol=0.02)
    draws = data.oracle([7], 500, [2])[0, 0]
    decay = np.exp(-0.6 / 2)
    np.testing.assert_allclose(draws.mean(0), decay * data.test[0].state[7], atol=5 / np.sqrt(500))
    assert draws.std(0).mean() == pytest.approx(np.sqrt(1 - decay**2), rel=0.02)
    with pytest.raises(UsageError, match="kappa=0"):
        OU(kappa=0).load()


NAMES = {"geopotential_500": "z", "2m_temperature": "t2m"}


@pytest.fixture
def files(tmp_path):
    """Two variables over two years of three days each, latitudes from the south as published, and constants."""
    rng, lat, lon = np.random.default_rng(0), np.linspace(-60, 60, 3), 90.0 * np.arange(4)
    values = {}
    for folder, name in NAMES.items():
        (tmp_path / folder).mkdir()
        for year in (2016, 2015):
            time = np.datetime64(f"{year}-01-01T00", "ns") + np.arange(72) * np.timedelta64(1, "h")
            values[name, year] = rng.standard_normal((72, 3, 4)).astype(np.float32)
            field = (("time", "lat", "lon"), values[name, year], {"units": "K", "long_name": name.upper()})
            file = xr.Dataset({name: field}, {"time": time, "lat": lat, "lon": lon})
            file.to_netcdf(tmp_path / folder / f"{folder}_{year}_5.625deg.nc", engine="h5netcdf")
    (tmp_path / "constants").mkdir()
    fixed = {name: (("lat", "lon"), rng.random((3, 4)) * 1000) for name in ("orography", "lsm")}
    xr.Dataset(fixed, {"lat": lat, "lon": lon}).to_netcdf(tmp_path / "constants" / "c.nc", engine="h5netcdf")
    return tmp_path, values, fixed


def options(root, **changes):
    fields = {"root": root, "variables": tuple(NAMES), "train": ("2015-01-01", "2015-01-02")}
    fields |= {"val": ("2015-01-03", "2015-01-03"), "test": ("2016-01-01", "2016-01-03")}
    return WeatherBench1(**fields | changes)


def test_weatherbench_files_find_their_cells(files):
    root, values, fixed = files
    data = check(options(root, step=6).load())
    assert data.names == ("z", "t2m") and data.grid == (3, 4) and data.step_hours == 6 and data.units == ("K", "K")
    assert [len(series) for series in data.splits().values()] == [6, 6, 6]  # each hour begins a series
    assert [len(s[0]) for s in data.splits().values()] == [8, 4, 12] and data.lat[0, 0] == 60
    later = data.test[1].state[[2, 5]]  # 2016, hours 13 and 31
    np.testing.assert_allclose(later[..., 1], values["t2m", 2016][[13, 31], ::-1], rtol=1e-6)
    np.testing.assert_allclose(data.val[0].state[1, ..., 0], values["z", 2015][54, ::-1], rtol=1e-6)
    assert data.test[1].time[2] == np.datetime64("2016-01-01T13")
    height = fixed["orography"][1][::-1]
    np.testing.assert_allclose(data.static[..., 0], (height - height.min()) / np.ptp(height), rtol=1e-5)
    assert statistics(data).mean[0] == pytest.approx(values["z", 2015][:48].mean(), abs=1e-4)
    assert data.forcing_names == () and len(options(root, forcing=True).load().forcing_names) == 5


def test_faults_of_files_are_named(files):
    root, *_ = files
    for change, error, message in [
        ({"root": root / "none"}, DataError, "geopotential_500: no NetCDF files"),
        ({"variables": ("dust",)}, DataError, "dust: no NetCDF files"),
        ({"static": ("soil",)}, DataError, "constant soil is missing; it has orography, lsm"),
        ({"test": ("2019-01-01", "2019-01-02")}, DataError, "holds 0 hours"),
        ({"test": ("2015-01-01", "2016-12-31")}, DataError, "times are not hourly before 2016"),
        ({"step": 0}, UsageError, "step=0"),
    ]:
        with pytest.raises(error, match=message):
            options(**{"root": root, **change}).load()
