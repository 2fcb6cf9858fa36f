"""ERA5 over the United Kingdom: splits and the figures of simple forecasts, where the data are at hand."""

from dataclasses import replace

import numpy as np
import pytest

from genkit.data.files import local
from genkit.errors import DataError, UsageError
from genkit_weather.baselines import AR2, BASELINES, ClimatologyMean
from genkit_weather.data import statistics, truth
from genkit_weather.datasets import era5_uk
from genkit_weather.datasets.era5_uk import ERA5UK

needs_data = pytest.mark.skipif(
    local(era5_uk.ARRAYS, era5_uk.ARRAYS_SHA256) is None, reason="ERA5 file is not in GENKIT_DATA"
)


def rms(error):
    return np.sqrt(np.mean(np.asarray(error, float) ** 2))


@needs_data
def test_hourly_statistics_and_reference_forecasts():
    data = ERA5UK(step=1).load()
    stats = statistics(data)
    assert stats.mean[0] == pytest.approx(280.2972, abs=1e-3) and stats.std[0] == pytest.approx(2.27654, abs=1e-4)
    assert stats.diff_mean[0] == pytest.approx(-3.139e-4, abs=1e-6)
    assert stats.diff_std[0] == pytest.approx(0.195827, abs=1e-5)
    test = data.test[0].state
    assert len(test) == 144 and data.test[0].time[0] == np.datetime64("2019-03-26T00")
    for lag, expected in ((1, 0.5820), (3, 1.5812), (24, 1.5702)):
        assert rms(test[lag:] - test[:-lag]) == pytest.approx(expected, abs=1e-4)
    mean = ClimatologyMean().fit(data)(data.test[0], [0], [0])[0, 0]
    assert rms(test - mean) == pytest.approx(2.5217, abs=1e-4)
    by_hour = data.train[0].state.reshape(18, 24, 33, 49).mean(0)
    assert rms(test.reshape(6, 24, 33, 49) - by_hour) == pytest.approx(2.1407, abs=1e-4)


@needs_data
def test_three_hourly_series_are_the_phases():
    data = ERA5UK().load()
    assert [len(s) for s in data.train] == [144] * 3 and [len(s) for s in data.test] == [48] * 3
    assert (data.train[1].time - data.train[0].time == np.timedelta64(1, "h")).all()
    assert data.names == ("t2m",) and data.units == ("K",) and data.frame == (5, 5)
    assert data.lat[0, 0] == 58 and data.lon[0, -1] == 2 and data.train[0].forcing.shape == (144, 33, 49, 3)
    assert ERA5UK(year=True).load().train[0].forcing.shape == (144, 33, 49, 5)


@needs_data
def test_baselines_reproduce_their_figures():
    data = ERA5UK().load()
    rows, columns = data.interior

    def score(name, lead):
        forecast = BASELINES[name]().fit(data)
        starts = np.arange(1, 48 - lead)
        errors = [forecast(s, starts, [lead])[:, 0, 0] - truth(s, starts, [lead])[:, 0] for s in data.test]
        return rms(np.stack(errors)[:, :, rows, columns])

    assert score("harmonic", 1) == pytest.approx(0.966, rel=0.01)
    assert score("harmonic", 8) == pytest.approx(1.162, rel=0.01)
    assert score("diurnal", 1) == pytest.approx(0.831, rel=0.01)
    one_phase = replace(data, frame=(0, 0), train=data.train[:1])
    starts = np.arange(1, 47)
    forecast = AR2().fit(one_phase)(data.test[0], starts, [1])[:, 0, 0]
    assert rms(forecast - truth(data.test[0], starts, [1])[:, 0]) == pytest.approx(1.2690, abs=1e-4)


@needs_data
def test_the_grib_file_holds_the_same_values(monkeypatch):
    import pyproj  # noqa: F401 - before eccodes, whose library breaks it

    pytest.importorskip("cfgrib")
    if local(era5_uk.GRIB, era5_uk.GRIB_SHA256) is None:
        pytest.skip("GRIB file is not in GENKIT_DATA")
    values, lat, lon = era5_uk._read()
    monkeypatch.setattr(era5_uk, "ARRAYS", "weather/absent.npz")
    again, lat2, lon2 = era5_uk._read()
    assert np.array_equal(values, again) and np.allclose(lat, lat2) and np.allclose(lon, lon2)


def test_wrong_options_and_missing_files_are_one_line(monkeypatch, tmp_path):
    with pytest.raises(UsageError, match="step 5 must divide 24"):
        ERA5UK(step=5).load()
    monkeypatch.setenv("GENKIT_DATA", str(tmp_path))
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(era5_uk, "GRIB_URL", f"file://{tmp_path}/none.grib")
    with pytest.raises(DataError, match="not in GENKIT_DATA and not fetched"):
        ERA5UK().load()
    assert local(era5_uk.GRIB, era5_uk.GRIB_SHA256) is None
