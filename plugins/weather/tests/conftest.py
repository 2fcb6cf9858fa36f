"""Data sets small enough for tests."""

import numpy as np
import pytest

from genkit_weather.data import Series, WeatherData


@pytest.fixture(scope="session")
def small_nature(tmp_path_factory):
    """(options, data) of a nature run of a few days, in a cache of its own; all tests share it, as it takes seconds."""
    from genkit_weather.datasets.qg_nature import QGNature

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        options = QGNature(train=24, val=8, test=36, spinup=30)
        yield options, options.load()


@pytest.fixture
def no_pictures(monkeypatch):
    """Runs whose report is not looked at draw nothing of their forecasts; Graph-EFM and Diffusion-LAM draw all."""
    monkeypatch.setattr("genkit_weather.experiments.summary.report", lambda *_: None)


@pytest.fixture
def toy_data():
    """make(**changes): two variables on 5 x 6 cells, frame (1, 2), random values, one series a split."""

    def series(seed, length=7):
        rng = np.random.default_rng(seed)
        time = np.datetime64("2001-01-01T00", "s") + np.arange(length) * np.timedelta64(6, "h")
        state = rng.standard_normal((length, 5, 6, 2)).astype(np.float32) * [1, 3] + [0, 10]
        return Series(state.astype(np.float32), rng.standard_normal((length, 1, 1, 3)).astype(np.float32), time)

    def make(**changes):
        fields = {
            "train": (series(0), series(1)),
            "val": (series(2),),
            "test": (series(3),),
            "static": np.random.default_rng(4).standard_normal((5, 6, 1)).astype(np.float32),
            "frame": (1, 2),
            "names": ("a", "b"),
            "units": ("K", "m"),
            "long_names": ("a", "b"),
            "forcing_names": ("f", "g", "h"),
            "static_names": ("s",),
            "step_hours": 6.0,
            "source": "toy",
        }
        return WeatherData(**{**fields, **changes})

    return make


@pytest.fixture
def written(tmp_path):
    """Write a data set and read it as own data."""

    def load(file, name="own.nc", encoding=None, **options):
        if name.endswith(".zarr"):
            file.to_zarr(tmp_path / name)
        else:
            file.to_netcdf(tmp_path / name, engine="h5netcdf", encoding=encoding)
        from genkit_weather.datasets import Own

        return Own(str(tmp_path / name), frame=2, **options).load()

    return load
