"""Boundary data of a second data set: points, times, windows and their encoding, in closed form."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from genkit.errors import DataError, UsageError
from genkit_weather.data import Series, WeatherData, check, frames, statistics
from genkit_weather.datasets.qg_host import QGHost
from genkit_weather.datasets.synthetic_advection import SyntheticAdvection
from genkit_weather.experiments.forecast import Plan
from genkit_weather.experiments.km_lam import KmLAM
from genkit_weather.host import Host, HostWindow, cut, encode, surrounding

BEGIN = np.datetime64("2020-01-01T00", "s")
HOUR = np.timedelta64(1, "h")


def series(hours, x, y, issued=None):
    """Values hour + 100 x + 1000 y (+ 1e6 the issue hour of a forecast) and a forcing, twice the hour everywhere."""
    base = np.asarray(hours, float)[:, None, None] + 100 * x + 1000 * y[:, None]
    base = base + (0 if issued is None else 1e6 * issued)
    return Series(
        base[..., None].astype(np.float32),
        2 * np.asarray(hours, np.float32)[:, None, None, None],
        BEGIN + np.asarray(hours) * HOUR,
        issued=None if issued is None else BEGIN + issued * HOUR,
    )


def weather(runs, step, x, y, **changes):
    """Data of hours of runs [(hours, issued)], the same in every split."""
    many = tuple(series(hours, x, y, issued) for hours, issued in runs)
    return WeatherData(
        many, many, many, np.ones((len(y), len(x), 1), np.float32), (0, 0), ("a",), ("1",), ("a",), ("f",), ("s",),
        float(step), x=x, y=y, source=changes.pop("source", "host"), **changes,
    )  # fmt: skip


AREA = weather([(np.arange(0, 40, 2), None)], 2, np.arange(4.0), np.arange(3.0), source="area")
WIDE = np.arange(-3.0, 8), np.arange(-2.0, 5)  # 11 x 7 points, one on each cell of the area


def test_points_around_an_area():
    data = weather([(np.arange(0, 48, 6), None)], 6, *WIDE)
    points, distance = surrounding(AREA, data, None)
    assert len(points) == 7 * 11 - 12 and (distance >= 1).all()
    assert len(surrounding(AREA, data, None, overlap=True)[0]) == 77
    points, distance = surrounding(AREA, data, 1.0)
    rows, columns = np.divmod(points, 11)
    assert len(points) == 2 * 4 + 2 * 3  # the sides, corners are sqrt(2) away
    assert (distance == 1).all() and {(1, 3), (5, 6), (3, 2), (2, 7)} <= set(zip(rows, columns, strict=True))
    with pytest.raises(DataError, match="within 0.5 km around area .the nearest outside is 1 km away"):
        surrounding(AREA, data, 0.5)
    lat, lon = np.meshgrid([59.0, 60, 61], [9.0, 10, 11], indexing="ij")
    globe = replace(data, static=np.ones((3, 3, 1), np.float32), lat=lat, lon=lon, source="globe")
    with pytest.raises(DataError, match="globe: x and y in km are not known"):
        surrounding(AREA, replace(globe, x=None, y=None), None)
    inner = replace(AREA, static=np.ones((2, 2, 1)), lat=lat[1:, 1:], lon=lon[1:, 1:])
    points, distance = surrounding(inner, globe, 80.0)
    np.testing.assert_array_equal(points, [3, 6])  # a degree of longitude: 56 and 54 km; of latitude 111 km
    assert distance[0] == pytest.approx(6371 * np.deg2rad(1) * np.cos(np.deg2rad(60)), rel=1e-4)


def raw(host, windows):
    """Physical values (n, L, nodes, D, times)."""
    n, leads, nodes, _ = windows.values.shape
    values = windows.values.reshape(n, leads, nodes, 2, -1)
    return values * host.std[:, None] + host.mean[:, None]


def test_an_analysis_is_matched_by_the_last_time_before():
    data = check(weather([(np.arange(0, 48, 6), None)], 6, *WIDE))
    host = Host.build(AREA, data, HostWindow(width=1.0, past=1, future=1, encoding=4))
    assert host.ratio == 3 and host.channels == (2 + 4) * 3 + 1 and host.names == ("a", "f")
    starts = host.starts("train", 0, 3)
    # state times 2 i h; the first target 2 (i + 1) needs 6 h of past, the last 2 (i + 3) has 42 h as its future's end
    assert starts[0] == 2 and starts[-1] == len(AREA.train[0]) - 4
    windows = host.windows("train", 0, np.array([2, 4]), 3)
    hours = raw(host, windows)[..., 1, :] / 2
    np.testing.assert_allclose(hours[0, :, 0], [[0, 6, 12], [0, 6, 12], [0, 6, 12]], atol=1e-3)  # targets 6, 8, 10
    np.testing.assert_allclose(hours[1, :, 5], [[0, 6, 12], [6, 12, 18], [6, 12, 18]], atol=1e-3)  # 10, 12, 14
    np.testing.assert_allclose(windows.deltas, np.broadcast_to([-3, 0, 3], (2, 3, 3)))
    rows, columns = np.divmod(host.points, 11)
    place = 100 * WIDE[0][columns] + 1000 * WIDE[1][rows]
    np.testing.assert_allclose(raw(host, windows)[0, 0, :, 0, 1], 6 + place, atol=1e-1)
    dynamic = Host.build(AREA, data, HostWindow(width=1.0, dynamic=True)).windows("train", 0, np.array([2]), 3)
    np.testing.assert_allclose(dynamic.deltas[0], [[-3, 0, 3], [-4, -1, 2], [-5, -2, 1]])
    told = np.asarray(jax.jit(host.features)(windows, 1))
    assert told.shape == (2, len(host.points), host.channels)
    np.testing.assert_array_equal(told[..., :6], windows.values[:, 1])
    np.testing.assert_allclose(told[0, 3, 6:18], np.asarray(encode(windows.deltas[0, 1], 4, 6.0)).ravel(), atol=1e-6)


def test_every_second_time_is_a_longer_step():
    data = weather([(np.arange(0, 48, 3), None)], 3, *WIDE)
    window = HostWindow(width=1.0, every=4, past=0, future=0, encoding=0)
    host = Host.build(AREA, data, window)
    assert host.ratio == 6 and host.channels == 3
    hours = raw(host, host.windows("test", 0, np.array([4]), 4))[0, :, 0, 1, 0] / 2
    np.testing.assert_allclose(hours, [0, 12, 12, 12], atol=1e-3)  # targets 10, 12, 14, 16


def test_forecasts_are_those_issued_before_the_start():
    runs = [(np.arange(at, at + 31, 6), at) for at in (0, 6, 12)]
    host = Host.build(AREA, weather(runs, 6, *WIDE), HostWindow(width=1.0, past=1, future=1))
    # at 12 h the forecast of 12 h is not there yet, that of 6 h has one time before
    values = raw(host, host.windows("val", 0, np.array([6]), 3))[0]
    np.testing.assert_allclose(values[:, 0, 1] / 2, [[6, 12, 18], [6, 12, 18], [12, 18, 24]], atol=1e-3)
    assert (np.round(values[:, 0, 0] / 1e6) == 6).all()
    # at 14 h that of 12 h is there, but it has no time before its first: still the one of 6 h
    assert (np.round(raw(host, host.windows("val", 0, np.array([7]), 1))[..., 0, :] / 1e6) == 6).all()
    alone = Host.build(AREA, host.data, HostWindow(width=1.0, past=0))
    assert (np.round(raw(alone, alone.windows("val", 0, np.array([7]), 1))[..., 0, :] / 1e6) == 12).all()
    assert 3 not in alone.starts("val", 0, 14) and host.starts("val", 0, 1)[0] == 3
    with pytest.raises(DataError, match="host, val: no boundary data from .* for a forecast from 2020-01-01T02"):
        host.windows("val", 0, np.array([1]), 1)


def test_members_go_with_those_of_the_area():
    def twice(data, more):
        return {k: (*v, *(replace(s, state=s.state + more) for s in v)) for k, v in data.splits().items()}

    wide = weather([(np.arange(at, at + 31, 6), at) for at in (0, 6, 12)], 6, *WIDE)
    area, many = replace(AREA, **twice(AREA, 0.0)), replace(wide, **twice(wide, 1000.0))
    host = Host.build(area, many, HostWindow(width=1.0, past=0))
    one, other = (host.windows("val", i, np.array([7]), 3).values for i in (0, 1))
    apart = (other - one) * host.std[0]
    assert apart.shape[-1] == 4 and np.allclose(apart[..., :2], 1000, atol=5) and not apart[..., 2:].any()
    alone = Host.build(AREA, many, HostWindow(width=1.0, past=0))
    with pytest.raises(DataError, match="host, train: 2 series over the same times, for 1 series of the area"):
        alone.starts("val", 0, 3)


def test_encoding_of_times():
    scale, channels = 6.0, 4
    t = np.array([0.0, -3.0, 2.5])
    a = [(2 * scale) ** (2 * k / channels) for k in (1, 2)]
    expected = np.stack([np.sin(t / a[0]), np.sin(t / a[1]), np.cos(t / a[0]), np.cos(t / a[1])], -1)
    np.testing.assert_allclose(encode(t, channels, scale), expected, atol=1e-6)
    assert a[1] == pytest.approx(12)


def test_what_does_not_fit_is_named():
    def build(step, **changes):
        hours = np.arange(0, 48, step)
        return Host.build(AREA, weather([(hours, None)], step, *WIDE, **changes), HostWindow())

    with pytest.raises(DataError, match="boundary step of 3 h of host does not divide: expected a multiple or a part"):
        build(3)
    assert build(1).ratio == 0.5
    missing = replace(weather([(np.arange(0, 48, 6), None)], 6, *WIDE), train=())
    with pytest.raises(DataError, match="host: no statistics are stored, and no training series"):
        Host.build(AREA, missing, HostWindow())
    stored = replace(missing, stored=statistics(replace(missing, train=missing.val)))
    assert Host.build(AREA, stored, HostWindow()).starts("val", 0, 2)[0] == 2
    three = weather([(np.arange(0, 48, 6), None)] * 3, 6, *WIDE)
    many = replace(AREA, train=AREA.train * 2)
    with pytest.raises(DataError, match="host has 3 train series for 2 of area; expected one, or one for each"):
        Host.build(many, three, HostWindow()).starts("train", 0, 1)
    for wrong in ({"past": -1}, {"encoding": 3}, {"every": 0}, {"width": 0.0}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            HostWindow(**wrong)


def test_the_interior_as_a_domain_of_its_own():
    data = SyntheticAdvection.preset("tiny").load()
    inner = check(cut(data))
    assert inner.grid == (25, 25) and inner.frame == (0, 0) and inner.x[0] == 40
    np.testing.assert_array_equal(inner.test[0].state, data.test[0].state[:, 4:-4, 4:-4])
    np.testing.assert_array_equal(inner.oracle([1], 1, [2])[0, 0, 0], inner.test[0].state[3])
    assert cut(inner) is inner
    host = Host.build(inner, data, HostWindow(width=40.0, future=1))  # its own frame as boundary data
    assert len(host.points) == 33 * 33 - 25 * 25 - 4 * 8  # half of each corner is beyond 4 cells
    assert host.windows("val", 1, np.array([1]), 2).values.shape == (1, 2, len(host.points), 9)


def test_the_host_of_the_nature_run(small_nature):
    nature, data = small_nature
    analysis = QGHost(nature).load()
    assert len(analysis.test) == 1 and analysis.grid == (26, 26) and analysis.x[5] == 150
    # block means of smooth fields: the truth at the four cells around the centre, nearly
    area = data.test[0].state.reshape(len(data.test[0]), 16, 2, 16, 2, 5).mean((2, 4))
    inside = analysis.test[0].state[:, 5:-5, 5:-5]
    assert np.abs(inside - area)[..., 0].std() < 0.05 * area[..., 0].std()
    forecasts = QGHost(nature, kind="forecast", cycle=4, length=12).load()
    assert [len(s) for s in forecasts.splits().values()] == [6, 2, 9]
    first, second = forecasts.test[2], frames(replace_host(data, nature), [8], range(13))
    assert first.issued == data.test[0].time[8]
    coarse = second[0].reshape(13, 16, 2, 16, 2, 5).mean((2, 4))
    assert np.abs(first.state[:, 5:-5, 5:-5] - coarse)[..., 0].std() < 0.1 * coarse[..., 0].std()
    host = Host.build(cut(data), forecasts, HostWindow(width=1200.0, past=1, future=1))
    starts = host.starts("test", 0, 6)
    assert starts[0] == 1 and np.isfinite(host.windows("test", 0, starts[:2], 6).values).all()


def test_the_validation_split_is_verified_with_that_of_the_host(small_nature):
    host = QGHost(small_nature[0])
    config = replace(KmLAM.preset("tiny"), data=small_nature[0], host=host, verify="val")
    data, val = config._load(), small_nature[1].val[0].time
    assert (data.test[0].time == val).all() and (data.around.data.test[0].time == host.load().val[0].time).all()
    times = [data.test[s].time[i] for s, i in config.chosen(data, Plan("few", 2, 2, 1))]
    assert times == [val[1], val[-4]]  # a boundary time is needed after the last lead
    with pytest.raises(DataError, match="the val split has [0-9] starts with 2 leads, not 30"):
        config.chosen(data, Plan("many", 30, 2, 1))


def replace_host(data, nature):
    """The test series with the host of `--boundary host`."""
    return replace(nature, boundary="host").load().test[0]
