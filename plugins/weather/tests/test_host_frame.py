"""A second data set in the frame: linear fields on another grid and step are met, forecasts are those issued before."""

from dataclasses import replace

import numpy as np
import pytest
from pyproj import CRS

import genkit
from genkit.errors import DataError
from genkit_weather import lam
from genkit_weather.area import frame_of
from genkit_weather.baselines import BASELINES
from genkit_weather.data import Series, WeatherData, frames
from genkit_weather.datasets import QGHost
from genkit_weather.forecasting.regrid import fitted
from genkit_weather.gridded import to_xarray
from genkit_weather.host import framed, surrounding
from genkit_weather.lazy import Lazy
from genkit_weather.models import Area

BEGIN = np.datetime64("2020-01-01T00", "s")
HOUR = np.timedelta64(1, "h")


def series(hours, lat, lon, issued=None, celsius=0.0):
    """(a, t): a = 2 lat - lon + hour (+ 1e4 the hour of issue), t = 280 + lat + lon / 2 - hour / 4, all linear."""
    base = np.asarray(hours, float)[:, None, None]
    a = 2 * lat - lon + base + (0 if issued is None else 1e4 * issued)
    state = np.stack([a, 280 - celsius + lat + lon / 2 - base / 4], -1).astype(np.float32)
    nothing = np.zeros((len(hours), 1, 1, 0), np.float32)
    when = BEGIN + np.asarray(hours) * HOUR
    return Series(state, nothing, when, issued=None if issued is None else BEGIN + issued * HOUR)


def weather(runs, step, lat, lon, frame=0, celsius=0.0, **changes):
    """Data of hours of runs [(hours, issued)] on a grid of these rows and columns, the same in every split."""
    lat, lon = np.meshgrid(lat, lon, indexing="ij")
    many = tuple(series(hours, lat, lon, issued, celsius) for hours, issued in runs)
    given = {"names": ("a", "t"), "units": ("1", "degC" if celsius else "K"), "long_names": ("a", "t")}
    given |= {"source": "host", **changes}
    return WeatherData(
        many, many, many, np.zeros((*lat.shape, 0), np.float32), (frame, frame), forcing_names=(), static_names=(),
        step_hours=float(step), lat=lat, lon=lon, **given,
    )  # fmt: skip


AREA = weather([(np.arange(0, 30, 2), None)], 2, 50 + 0.25 * np.arange(9), 5 + 0.3 * np.arange(8), 2, source="area")
HOST = np.arange(48.0, 54), np.arange(4.0, 9)
INSIDE = ~AREA.frame_mask


def test_linear_fields_are_met_on_another_grid_with_another_step_and_other_units():
    other = weather([(np.arange(0, 25, 6), None)], 6, HOST[0][::-1], HOST[1], celsius=273.15)
    swapped = replace(
        other, names=("t", "a"), units=("degC", "1"), long_names=("t", "a"),
        **{k: tuple(replace(s, state=s.state[..., ::-1]) for s in v) for k, v in other.splits().items()},
    )  # fmt: skip
    for host in (other, swapped):
        made = framed(AREA, host).train[0]
        assert len(made) == 13 and made.time[-1] == BEGIN + 24 * HOUR  # the host ends at 24 h
        boundary = np.asarray(made.boundary[:])
        np.testing.assert_allclose(boundary[:, ~INSIDE], AREA.train[0].state[:13, ~INSIDE], rtol=1e-6)
        assert np.isnan(boundary[:, INSIDE]).all()
        np.testing.assert_array_equal(made.state, AREA.train[0].state[:13])
        np.testing.assert_array_equal(frames(made, [3], [0, 2])[0], boundary[[3, 5]])
    out = BASELINES["harmonic"]().fit(framed(AREA, other))(made, [2], [1, 2])
    assert np.isfinite(out).all()  # nobody looks inside the frame


def test_it_is_what_a_forecast_makes_of_the_host_file():
    rng = np.random.default_rng(0)
    host = weather([(np.arange(0, 25, 6), None)], 6, *HOST)
    rough = replace(host.train[0], state=host.train[0].state + rng.standard_normal(host.train[0].state.shape))
    made = framed(AREA, replace(host, train=(rough,))).train[0]
    file = fitted(to_xarray(host, rough), Area.of(AREA), made.time, "host.nc")
    for v, name in enumerate(AREA.names):
        expected = file[name].sel(time=made.time.astype("datetime64[ns]")).values[:, ~INSIDE]
        np.testing.assert_allclose(np.asarray(made.boundary[:])[:, ~INSIDE, v], expected, rtol=1e-6)


def test_forecasts_are_those_issued_before():
    runs = [(np.arange(at, at + 13, 6), at) for at in (0, 6, 12, 18)]
    made = framed(AREA, weather(runs, 6, *HOST)).test[0]
    cells = np.asarray(made.boundary[:])[:, ~INSIDE, 0]
    hours = (made.time - BEGIN) / HOUR
    assert hours[0] == 2 and hours[-1] == 28  # at 0 h none is there
    issued = np.round((cells[:, 0] - AREA.test[0].state[1:, ~INSIDE, 0][:, 0]) / 1e4)
    np.testing.assert_array_equal(issued, np.minimum((hours - 1) // 6 * 6, 18))
    # from 8 h with a past at 6 h, to 12 h: those of 0 h and 6 h have it; from 14 h to 18 h those of 6 h and 12 h. One
    # step further, the latest is the only one
    for leads in (range(-1, 3), range(-1, 4)):
        told = frames(made, [3, 6], leads)[:, :, ~INSIDE, 0]
        assert (told[0] // 1e4 == 6).all() and (told[1] // 1e4 == 12).all()
    assert list(made.host.starts(range(-1, 8))) == []
    each = [[run.time[0] <= made.time[i - 1] and run.time[-1] >= made.time[i + 4] and run.issued < made.time[i]
             for run in made.host.runs] for i in range(1, len(made) - 4)]  # fmt: skip
    assert list(made.host.starts(range(-1, 5))) == [i for i, row in enumerate(each, 1) if any(row)]
    with pytest.raises(DataError, match="host: no forecast issued before .*T08.* ask for fewer --leads"):
        frames(made, [3], range(-1, 8))


def test_a_gap_of_the_boundary_cuts_the_series():
    host = weather([(np.arange(0, 9, 2), None), (np.arange(14, 30, 2), None)], 2, *HOST)
    made = framed(AREA, host)
    assert [len(s) for s in made.train] == [5, 8] and made.train[1].time[0] == BEGIN + 14 * HOUR
    assert made.notes == tuple(
        f"host, {split}: a boundary at 13 of 15 times; 2 are left out" for split in ("train", "val", "test")
    )
    assert framed(AREA, weather([(np.arange(0, 30, 2), None)], 2, *HOST)).notes == ()
    np.testing.assert_array_equal(made.train[1].state, AREA.train[0].state[7:])
    lazy = replace(AREA.train[0], state=Lazy(AREA.train[0].state.shape, lambda rows: AREA.train[0].state[rows], "k"))
    cut = framed(replace(AREA, train=(lazy,)), host).train
    assert cut[0].state.key != cut[1].state.key != "k"
    np.testing.assert_array_equal(cut[1].state[1:3], AREA.train[0].state[8:10])
    with pytest.raises(DataError, match="host, train: no boundary at 3 times in a row of area.* the same days"):
        framed(AREA, weather([(np.arange(100, 120, 2), None)], 2, *HOST))


def members(data, order=1):
    """Of each series two, the second with 100 more; one after the other, or (order 0) in turn."""
    both = {k: [[replace(s, state=s.state + 100 * m) for m in range(2)] for s in v] for k, v in data.splits().items()}
    made = {k: [one for part in (zip(*v, strict=True) if order else v) for one in part] for k, v in both.items()}
    return replace(data, **{k: tuple(v) for k, v in made.items()})


def test_members_go_with_members():
    analyses = weather([(np.arange(0, 9, 2), None), (np.arange(14, 30, 2), None)], 2, *HOST)
    forecasts = weather([(np.arange(at, at + 13, 6), at) for at in (0, 6, 12, 18)], 6, *HOST)
    for host, first, many in ((analyses, 0, 4), (forecasts, 1, 2)):
        for order in (0, 1):
            made = framed(members(AREA), members(host, order)).train
            assert len(made) == many
            for one, member in zip(made, np.arange(many) * 2 // many, strict=True):
                apart = np.asarray(one.boundary[:])[:, ~INSIDE, 1] - members(AREA).train[member].state[0, ~INSIDE, 1]
                hour = ((one.time - BEGIN) / HOUR)[:, None]
                np.testing.assert_allclose(apart + hour / 4, 0, atol=1e-3)
            if first:
                told = frames(made[1], [3], [0])[0, 0, ~INSIDE, 1] - AREA.train[0].state[4, ~INSIDE, 1]
                np.testing.assert_allclose(told, 100, atol=1e-3)
        assert len(framed(members(AREA), host).train) == many  # one for both
        with pytest.raises(DataError, match="host, train: 2 series over the same times, for 1 series of the area"):
            framed(AREA, members(host))
    odd = members(forecasts)
    with pytest.raises(DataError, match="host, train: a changing number of series over the same times"):
        framed(members(AREA), replace(odd, train=odd.train[:-1]))


def test_an_oracle_stays_with_a_first_series_that_is_whole():
    later = replace(AREA.test[0], time=AREA.test[0].time + 1000 * HOUR)
    area = replace(AREA, test=(AREA.test[0], later), oracle=lambda *args: None)
    host = weather([(np.arange(0, 30, 2), None)], 2, *HOST)
    assert framed(area, host).oracle is not None
    gone = replace(host, test=(replace(host.test[0], time=host.test[0].time + 1000 * HOUR),))
    made = framed(area, gone)
    assert made.oracle is None and made.test[0].time[0] == later.time[0]


def test_wind_is_turned_between_axes():
    """A host turned by 30 degrees whose wind along its rows is (cos 30, sin 30) of the earth."""
    lat, lon = np.meshgrid(np.arange(-3.0, 4), np.arange(-3.0, 4), indexing="ij")
    alpha = np.pi / 6
    turned = {"lat": 0.3 * (lon * np.sin(alpha) + lat * np.cos(alpha)),
              "lon": 0.3 * (lon * np.cos(alpha) - lat * np.sin(alpha))}  # fmt: skip
    names = {"names": ("u10", "v10"), "units": ("m s-1",) * 2}
    host = replace(weather([(np.arange(0, 30, 2), None)], 2, lat[:, 0], lon[0]), **names, **turned, wind="grid")
    flat = np.broadcast_to(np.float32([1, 0]), host.train[0].state.shape)
    host = replace(host, **{k: (replace(s[0], state=flat),) for k, s in host.splits().items()})
    own = weather([(np.arange(0, 30, 2), None)], 2, 0.1 * np.arange(-2, 3), 0.1 * np.arange(-2, 3), 1, source="area")
    own = replace(own, **names)
    made = np.asarray(framed(own, host).train[0].boundary[:3])[:, own.frame_mask]
    np.testing.assert_allclose(made, np.broadcast_to([np.cos(alpha), np.sin(alpha)], made.shape), atol=2e-3)
    small = {k: 0.25 * a[1:-1, 1:-1] for k, a in turned.items()}
    same = replace(own, **small, wind="grid")  # turned alike
    made = np.asarray(framed(same, host).train[0].boundary[:3])[:, own.frame_mask]
    np.testing.assert_allclose(made, np.broadcast_to([1, 0], made.shape), atol=2e-3)
    with pytest.raises(DataError, match="host has wind as its files had it"):
        framed(own, replace(host, wind="file"))


def test_what_does_not_fit_is_named():
    hours = [(np.arange(0, 30, 6), None)]
    with pytest.raises(DataError, match="host does not cover 24 of 52 cells of the frame of area"):
        framed(AREA, weather(hours, 6, np.arange(48, 51.7), HOST[1]))
    with pytest.raises(DataError, match="host has no t, which the frame of area needs"):
        framed(AREA, weather(hours, 6, *HOST, names=("a", "b")))
    with pytest.raises(DataError, match="tp is a sum over 6 h, that of area over 2 h"):
        framed(replace(AREA, names=("a", "tp"), units=("1", "m")),
               weather(hours, 6, *HOST, names=("a", "tp"), units=("1", "m")))  # fmt: skip
    with pytest.raises(DataError, match="area has no frame"):
        framed(replace(AREA, frame=(0, 0)), weather(hours, 6, *HOST))
    flat = {"lat": None, "lon": None}
    plane = replace(AREA, **flat, x=10.0 * np.arange(8), y=10.0 * np.arange(9), crs="EPSG:32633")
    host = replace(weather(hours, 6, *HOST), **flat, x=np.linspace(-50, 200, 5), y=np.linspace(-50, 200, 6))
    for known in (None, "EPSG:32633", CRS("EPSG:32633").to_wkt()):
        assert framed(plane, replace(host, crs=known)).train
    for join in (framed, lambda one, other: surrounding(one, other, None)):
        with pytest.raises(DataError, match="x and y of area and host are of different projections"):
            join(plane, replace(host, crs="EPSG:3035"))
    host = weather(hours, 6, *HOST)
    mask = np.ones((6, 5, 2), bool)
    mask[2, 1, 0] = False
    with pytest.raises(DataError, match="host has no value at .* cells of the frame"):
        framed(AREA, replace(host, mask=mask))
    wet = np.ones((9, 8, 2), bool)
    wet[..., 0] = False
    assert framed(replace(AREA, mask=wet), replace(host, mask=mask)).train  # they do not count


@pytest.mark.parametrize("experiment", ["weather.diffusion_lam", "weather.crps_lam"])
@pytest.mark.parametrize("kind", ["analysis", "forecast"])
def test_a_study_of_a_frame_reads_the_boundary_of_the_host(small_nature, experiment, kind):
    nature, plain = small_nature
    host = QGHost(nature, kind, cycle=4, length=12)
    study = replace(genkit.config(experiment, "tiny"), data=nature, host=host)
    data = study._load()
    assert data.grid == plain.grid and data.frame == plain.frame and data.around is None
    chosen = study.chosen(data)
    assert len(chosen) == 4
    domain = lam.domain_of(data, study.model.formulation)
    series, start = chosen[-1]
    outlook = lam.Outlook.build(domain, data.test[series], [start], study.leads)
    truth = frame_of(np.asarray(data.test[series].state[start - 1 : start + study.leads + 1]), data.frame)
    truth = (truth - np.asarray(domain.mean)) / np.asarray(domain.std)
    apart = np.sqrt(np.mean((outlook.frame[0] - truth)[..., 0] ** 2))
    assert 0.001 < apart < 0.35  # block means of 600 km, and the host's error
