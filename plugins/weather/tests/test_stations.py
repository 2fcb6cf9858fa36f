"""Verification at stations: closed forms, files, complaints, and the way from a run to its report."""

import gzip
from dataclasses import dataclass

import numpy as np
import pytest
import xarray as xr

import genkit
from genkit.cli.main import main
from genkit.errors import DataError, UsageError
from genkit_weather.data import take
from genkit_weather.datasets.synthetic_advection import SyntheticAdvection
from genkit_weather.experiments.forecast import ForecastExperiment
from genkit_weather.gridded import convert
from genkit_weather.stations import (
    InSitu,
    at_stations,
    observed,
    read_stations,
    station_reliability,
    station_scores,
    synthetic_stations,
    thresholds,
    wind_components,
    wind_pairs,
    write_stations,
)
from genkit_weather.stations.compare import _temperature

BEGIN = np.datetime64("2020-02-08T12", "s")
HOUR = np.timedelta64(1, "h")


@pytest.mark.parametrize(
    "value, unit, to, expected",
    [
        (20.0, "degC", "K", 293.15),
        (68.0, "degF", "degC", 20.0),
        (1013.25, "hPa", "Pa", 101325.0),
        (101325.0, "Pa", "hPa", 1013.25),
        (36.0, "km/h", "m s**-1", 10.0),
        (1.0, "knot", "m/s", 1852 / 3600),
        (65.0, "%", "1", 0.65),
        (2.5, "mm", "kg m-2", 2.5),
        (np.pi, "rad", "degree", 180.0),
        (3.0, "furlong", "furlong", 3.0),
    ],
)
def test_units(value, unit, to, expected):
    assert convert(np.array([value]), unit, to, "x")[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("unit", "to", "expected"),
    [
        ("degrees C", "K", 283.15), ("Celsius", "K", 283.15), ("\u2103", "K", 283.15), ("\u00b0F", "K", 260.928),
        ("Kelvin", "K", 10), ("oktas", "1", 1.25), ("mm/day", "kg m-2 s-1", 10 / 86400), ("ms-1", "kt", 19.438),
        ("kg m-2 s-1", "mm h-1", 36000), ("gpdm", "m", 100),
    ],
)  # fmt: skip
def test_units_as_they_are_written(unit, to, expected):
    np.testing.assert_allclose(convert(10.0, unit, to, "x"), expected, rtol=1e-4)


@pytest.mark.parametrize("unit, to", [("furlong", "K"), ("Pa", "K"), ("K", "strange"), ("", "K")])
def test_units_that_do_not_fit_are_named(unit, to):
    with pytest.raises(DataError, match=rf"s.csv: t2m has the unit '{unit}'; .* converted to '{to}'"):
        convert(np.ones(1), unit, to, "s.csv: t2m")


def test_wind_comes_from_its_direction():
    u, v = wind_components(np.full(5, 10.0), np.array([0, 90, 180, 270, 225]))
    half = 10 / np.sqrt(2)
    np.testing.assert_allclose(u, [0, -10, 0, 10, half], atol=1e-12)  # from north, east, south, west, south-west
    np.testing.assert_allclose(v, [-10, 0, 10, 0, half], atol=1e-12)
    assert wind_components(np.zeros(1), np.array([np.nan])) == (0, 0)
    names = ["u10", "v10", "10m_u_component_of_wind", "10m_v_component_of_wind", "u_sfc", "v_sfc", "humidity", "u_x"]
    assert wind_pairs(names) == [("u10", "v10"), (names[2], names[3]), ("u_sfc", "v_sfc")]


def forecast_of(fields, members=1, starts=2, leads=3, units=None, size=(6, 8)):
    """A forecast of functions (time in hours, y, x in km) -> value, equal members."""
    y, x = np.meshgrid(10.0 * np.arange(size[0]), 10.0 * np.arange(size[1]), indexing="ij")
    when = 6 * np.arange(starts)[:, None] + np.arange(1, leads + 1)
    coords = {
        "start": BEGIN + 6 * np.arange(starts) * HOUR,
        "lead": np.arange(1.0, leads + 1),
        "y": ("y", y[:, 0], {"units": "km"}),
        "x": ("x", x[0], {"units": "km"}),
    }
    arrays = {}
    for name, f in fields.items():
        values = np.stack([[f(t, y, x) for t in row] for row in when])[:, :, None]
        attrs = {"units": (units or {}).get(name, "K")}
        arrays[name] = (("start", "lead", "member", "y", "x"), np.repeat(values, members, 2), attrs)
    return xr.Dataset(arrays, coords)


def stations_of(tmp_path, fields, y, x, suffix="csv", hours=18):
    """A file of observations (time, station) of functions, each with its unit."""
    time = np.arange(hours)
    y, x = np.asarray(y, float), np.asarray(x, float)
    arrays = {
        name: (("time", "station"), np.stack([f(t, y, x) for t in time]), {"units": unit})
        for name, (f, unit) in fields.items()
    }
    coords = {"time": BEGIN + time * HOUR, "station": [f"S{i}" for i in range(len(y))]}
    path = tmp_path / f"s.{suffix}"
    write_stations(xr.Dataset(arrays, {**coords, "y": ("station", y), "x": ("station", x)}), path)
    return path


@pytest.mark.parametrize("suffix", ["csv", "nc"])
def test_linear_fields_are_met_exactly_in_all_units(tmp_path, suffix):
    def t(t, y, x):
        return 280 + t + 0.1 * y - 0.2 * x

    def u(t, y, x):
        return 3 + 0.05 * y + 0 * x

    def v(t, y, x):
        return -4 + 0.1 * t + 0.03 * x + 0 * y

    def speed(*at):
        return 3.6 * np.hypot(u(*at), v(*at))

    def direction(*at):
        return np.rad2deg(np.arctan2(-u(*at), -v(*at))) % 360

    forecast = forecast_of({"t2m": t, "u10": u, "v10": v}, units={"u10": "m s-1", "v10": "m s-1"})
    fields = {"t2m": (lambda *at: t(*at) - 273.15 + 0.5, "degC"), "wind_speed": (speed, "km/h")}
    fields["wind_direction"] = (direction, "degree")
    y, x = [3.0, 50, 22.5, 90, 34], [69.9, 0, 31, 10, 12]  # the fourth is outside, the second in a frame of one
    options = InSitu(stations_of(tmp_path, fields, y, x, suffix))
    found = observed(options, forecast)
    assert found.attrs["notes"] == [f"s.{suffix}: left out, outside the domain: S3"]
    assert found.attrs["wind"] == ("u10", "v10") and list(found.station.values) == ["S0", "S1", "S2", "S4"]
    here = at_stations(forecast, found)
    for name in ("u10", "v10"):
        np.testing.assert_allclose(here[name].isel(member=0), found[name], atol=1e-9)
    np.testing.assert_allclose(here.t2m.isel(member=0), found.t2m - 0.5, atol=1e-9)
    results = station_scores(here, found, thresholds((), found), "me")
    for lead in ("1h", "2h", "3h"):
        assert results[f"me.station_rmse/t2m/{lead}"] == pytest.approx(0.5, abs=1e-4)
        assert results[f"me.station_bias/t2m/{lead}"] == pytest.approx(-0.5, abs=1e-4)
        assert results[f"me.station_vector_rmse/wind/{lead}"] == pytest.approx(0, abs=1e-5)
    inner = observed(options, forecast, frame=(1, 1))
    assert list(inner.station.values) == ["S2", "S4"] and "in its frame" in inner.attrs["notes"][1]


def test_scores_by_hand(tmp_path):
    forecast = forecast_of({"a": lambda t, y, x: x / 10 + 0 * y}, members=2, starts=1, leads=2)
    forecast["a"][:, :, 1] += 2.0  # members x and x + 2: mean x + 1
    fields = {"a": (lambda t, y, x: np.array([0.0, 4, 2, np.nan if t == 2 else 9]), "K")}
    found = observed(InSitu(stations_of(tmp_path, fields, [0] * 4, [0, 10, 20, 30])), forecast)
    assert found.attrs["count"] == 7
    results = station_scores(at_stations(forecast, found), found, thresholds((("a", 2.5), ("a", 3.5)), found))
    error = np.array([1, -2, 1, -5])  # mean 1, 2, 3, 4 against 0, 4, 2, 9
    assert results["station_rmse/a/1h"] == pytest.approx(np.sqrt((error**2).mean()))
    assert results["station_mae/a/1h"] == pytest.approx(np.abs(error).mean())
    assert results["station_bias/a/1h"] == pytest.approx(error.mean())
    assert results["station_rmse/a/2h"] == pytest.approx(np.sqrt((error[:3] ** 2).mean()))
    crps = [np.abs(np.array([m, m + 2]) - y).mean() - 1 for m, y in zip(np.arange(4), [0, 4, 2, 9], strict=True)]
    assert results["station_crps/a/1h"] == pytest.approx(np.mean(crps))
    # >= 2.5: forecast no no yes yes, observed no yes no yes: one of each, chance 1, ETS (1 - 1) / (3 - 1)
    assert results["station_ets/a>=2.5/1h"] == pytest.approx(0, abs=1e-6)
    assert results["station_ets/a>=2.5/2h"] == pytest.approx((0 - 1 / 3) / (2 - 1 / 3))
    # >= 3.5: of two members none, none, one, one, observed no yes no yes: (p - o)^2 - p (1 - p) / (M - 1) is 0 1 0 0
    assert results["station_brier/a>=3.5/1h"] == pytest.approx(1 / 4)
    assert results["station_brier/a>=3.5/2h"] == pytest.approx(1 / 3)
    told = station_reliability(at_stations(forecast, found), found, {"a": [2.5]})["a"][2.5]
    assert told.weight.tolist() == [2, 0, 0, 0, 0, 4, 0, 0, 0, 1] and told.observed[np.array([0, 5, 9])].tolist() == [
        0, 0.5, 1,
    ]  # fmt: skip
    with pytest.raises(UsageError, match="no variable b is observed; there are a"):
        thresholds((("b", 1.0),), found)


def test_the_error_of_observations_of_the_truth_is_theirs(toy_data):
    data = toy_data(x=np.arange(6.0), y=np.arange(5.0), frame=(0, 1))
    stations = synthetic_stations(data, data.test[0], 2000, error=0.3)
    exact = synthetic_stations(data, data.test[0], 2000, error=0.0)
    assert (stations.x >= 1).all() and (stations.x <= 4).all()
    noise = stations.b - exact.b
    assert float(noise.std()) == pytest.approx(stations.b.attrs["error"], rel=0.05)
    assert stations.b.attrs["error"] == pytest.approx(0.3 * float(exact.b.std()), rel=1e-6)


def test_faults_of_a_file_are_named(tmp_path):
    path = tmp_path / "bad.csv"

    def read(text):
        path.write_text(text)
        return read_stations(path)

    head = "station,time,lat,lon,t2m [degC]\n"
    good = read(head + "A,2020-02-08T12,50,1,3\nB,2020-02-08T12:00:00Z,51,2,\n")
    assert good.t2m.values.tolist()[0][0] == 3 and np.isnan(good.t2m.values[0, 1])
    for text, message in [
        ("station,time,lat\n", "column lon is missing"),
        (head.replace(" [degC]", ""), "column 't2m' has no unit; write it in brackets"),
        (head + "A,noon,50,1,3\n", "line 2: 'noon' is no time"),
        (head + "A,2020-02-08T12,50,1,warm\n", r"line 2: t2m \[degC\] is 'warm'; expected a number"),
        (head + 2 * "A,2020-02-08T12,50,1,3\n", "line 3: station A has 2020-02-08 12:00:00 a second time"),
        (head + "A,2020-02-08T12,50,1,3\nA,2020-02-08T13,50,2,3\n", "station A has two places"),
        (head + "A,2020-02-08T12,,1,3\n", "station A has no latitude"),
        (head + "A,2020-02-08T12,150,1,3\n", "latitude is beyond 90"),
        (head + "A,2020-02-08T12,50N,1,3\n", "line 2: lat is '50N'; expected a number"),
        (head + "A,2020-02-08T12,50,1,3\n,2020-02-08T12,50,1,3\n", "line 3: no station"),
        (head + "A,2020-02-08T12,50,1,inf\n", "t2m of station A is infinite"),
        (head, "no line of observations"),
        (head + "\n\nA,2020-02-08T12,50,1,x\n", r"line 4: t2m \[degC\] is 'x'"),
        (head + "A,2020-02-08T12,50,1,3,5\n", "lines have more cells than the first; is ',' a decimal sign too"),
        (head.replace(",", "\t") + "A\t2020-02-08T12\t50\t1\t1,234\n", "line 2: .* is '1,234'; expected a number"),
        (head.replace(",", "|") + "A|2020-02-08T12|50|1|1,234\n", "line 2: .* is '1,234'; expected a number"),
    ]:
        with pytest.raises(DataError, match=message):
            read(text)
    with pytest.raises(DataError, match="none.csv: no such file"):
        read_stations(tmp_path / "none.csv")
    xr.Dataset({"t2m": (("time", "station"), np.ones((1, 1)))}).to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    with pytest.raises(DataError, match="x.nc: time must be a coordinate of dates"):
        read_stations(tmp_path / "x.nc")


@pytest.mark.parametrize("name", ["s.csv", "s.tsv.gz"])
@pytest.mark.parametrize("change", [
    lambda t: t, lambda t: "# of an office\n" + t, lambda t: t.replace(",", ";").replace("3.5", "3,5"),
    lambda t: t.replace(",", "\t"), lambda t: t.replace("station,time,lat,lon", "Station_ID,valid,LAT,Longitude"),
    lambda t: t.replace("2020-02-08T12:00", "202002081200"), lambda t: t.replace("T12:00", "T14:00+02:00"),
    lambda t: t.replace(",M", ",-9999"), lambda t: t.replace("\n", ",\n"),
    lambda t: t.replace("3.5\n", "3.5,\n").replace("M\n", "M,\n"),
    lambda t: t.replace("2020-02-08T12:00", "20200208120000"), lambda t: t.replace("\nB", "\n\n,,,,\nB"),
    lambda t: "\ufeff" + t.replace("\n", "\r\n"),
])  # fmt: skip
def test_tables_as_offices_write_them(tmp_path, name, change):
    text = change("station,time,lat,lon,t2m [degC]\n0012,2020-02-08T12:00,50,-99.9,3.5\nB,2020-02-08T12:00,51,2,M\n")
    content = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    found = read_stations(tmp_path / name)
    assert found["station"].values.tolist() == ["0012", "B"] and found.t2m.attrs["units"] == "degC"
    np.testing.assert_array_equal(found.t2m, [[3.5, np.nan]])
    np.testing.assert_array_equal(found["longitude"], [-99.9, 2])  # no missing value
    np.testing.assert_array_equal(found["time"], [np.datetime64("2020-02-08T12:00")])


def test_stations_may_be_called_as_a_missing_value_is_and_heights_in_any_case(tmp_path):
    head = "station,time,lat,lon,Elevation [km],t2m [degC]\n"
    (tmp_path / "s.csv").write_text(head + "M,2020-02-08T12,50,1,0.3,NaN\nNA,2020-02-08T12,51,1,m,3\n")
    found = read_stations(tmp_path / "s.csv")
    assert found["station"].values.tolist() == ["M", "NA"] and list(found.data_vars) == ["t2m"]
    np.testing.assert_allclose(found["elevation"], [300, np.nan])
    np.testing.assert_array_equal(found.t2m, [[np.nan, 3]])


def test_what_does_not_fit_the_forecast_is_named(tmp_path):
    def zero(t, y, x):
        return 0.0 * x

    forecast = forecast_of({"t2m": zero, "u10": zero, "v10": zero, "u_850": zero, "v_850": zero})
    for fields, place, hours, message in [
        (
            {"t2m": (zero, "furlong")},
            10,
            18,
            "s.csv: t2m has the unit 'furlong'; expected one that .* to 'K'",
        ),
        ({"t2m": (zero, "K")}, 99, 18, "no station is in the interior of the domain; .*: S0"),
        ({"t2m": (zero, "K")}, 10, 1, "no station has t2m at a valid time of the forecast, 2020-02-08T13:00:00 to"),
        ({"q": (zero, "1")}, 10, 18, r"none of its variables \(q\) is one of the model's \(t2m, u10"),
    ]:
        with pytest.raises(DataError, match=message):
            observed(InSitu(stations_of(tmp_path, fields, [place], [10], hours=hours)), forecast)
    wind = stations_of(tmp_path, {"wind_speed": (zero, "kt")}, [10], [10])
    with pytest.raises(UsageError, match="Pairs are: u10 v10, u_850 v_850; give wind"):
        observed(InSitu(wind), forecast)
    with pytest.raises(UsageError, match="no variable u11"):
        observed(InSitu(wind, wind=("u11", "v10")), forecast)


@dataclass(frozen=True)
class Persistence(ForecastExperiment):
    """The last known state and a warmer one, with no training: quick to run."""

    def train(self, run):
        """Nothing is trained."""

    def ensemble(self, run, key, series, starts, members, leads, model=None):
        """Two members about persistence."""
        state = take(series.known, np.asarray(starts))[:, None, None]
        yield range(1, leads + 1), np.repeat(state, leads, 1) + 0.2 * np.arange(members)[:, None, None, None]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run with stations of known error, and their file."""
    folder = tmp_path_factory.mktemp("stations")
    options = SyntheticAdvection(train=4, val=1, test=1)
    data = options.load()
    write_stations(synthetic_stations(data, data.test[0], 30, error=0.1), folder / "obs.csv")
    config = Persistence(
        options, starts=3, leads=4, members=2, long_leads=0, baselines=("persistence", "oracle"),
        stations=InSitu(folder / "obs.csv"),
    )  # fmt: skip
    return genkit.run(config, out=folder / "run"), folder / "obs.csv"


def test_a_run_is_verified_at_stations(finished):
    run, _ = finished
    error = 0.1 * run.config.weather(run).test[0].state[:, 4:-4, 4:-4].std()
    # interpolation of the exact solution at the stations is the truth that they were made from
    assert run.results["oracle.station_rmse/q/4h"] == pytest.approx(error, rel=0.25)
    assert run.results["station_rmse/q/4h"] > 3 * error
    assert run.results["station_bias/q/1h"] - run.results["persistence.station_bias/q/1h"] == pytest.approx(
        0.1, abs=1e-4
    )
    assert {"stations", "stations_reliability", "stations_q", "stations_map_q"} <= set(run.figures)
    assert "Scores at the stations" in (run.folder / "report.html").read_text()


def test_a_case_study_of_one_date(finished, capsys):
    run, file = finished
    times = run.config.weather(run).test[0].time
    for when in (times[1], times[3]):  # of the forecast file, and made now
        assert main(["weather-stations", str(run.folder), str(file), "--date", str(when), "--trust"]) == 0
    folder = run.folder / "stations" / "obs-2000-01-01T0300"
    assert (folder / "report.html").is_file() and (folder / "figures" / "maps_q.png").is_file()
    assert '"station_rmse/q/4h"' in (folder / "results.json").read_text()
    capsys.readouterr()
    assert main(["weather-stations", str(run.folder), str(file), "--date", "2001-01-01", "--trust"]) == 2
    message = capsys.readouterr().err
    assert "no forecast from 2001-01-01" in message and "2000-01-01T01:00:00 to" in message
    assert main(["weather-stations", str(run.folder), str(file), "--date", "Ciara", "--trust"]) == 2
    assert "'Ciara' is no date" in capsys.readouterr().err


def test_temperatures_are_corrected_for_elevation(tmp_path):
    """The model's surface is 100 m at the left and 30 m higher in each column; a station in between lies at 500 m."""
    forecast = forecast_of({"t2m": lambda t, y, x: 280 + 0 * t * x, "q": lambda t, y, x: 1 + 0 * t * x},
                           units={"t2m": "K", "q": "K"})  # fmt: skip
    surface = np.broadcast_to(100 + 30.0 * np.arange(8), (6, 8))
    high = forecast.assign_coords(surface_altitude=(("y", "x"), surface))
    lines = ["station,time,y,x,elevation [km],t2m [degC],q [K]"]
    lines += ["a,2020-02-08T13,20,25,0.5,5,1", "b,2020-02-08T13,20,30,,5,1"]
    (tmp_path / "s.csv").write_text("\n".join(lines))
    options = InSitu(tmp_path / "s.csv")
    found = observed(options, high)
    here = at_stations(high, found)
    fall = -6.5e-3 * (500 - (100 + 30 * 2.5))
    np.testing.assert_allclose(here["t2m"].isel(start=0, lead=0, member=0), [280 + fall, 280], rtol=1e-6)
    np.testing.assert_array_equal(here["q"].isel(start=0, lead=0, member=0), [1, 1])
    assert "t2m at 1 stations corrected by 6.5 K a km" in " ".join(found.attrs["notes"])
    for other, data in ((options, forecast), (InSitu(options.file, lapse=0.0), high)):
        assert (at_stations(data, observed(other, data))["t2m"] == 280).all()
    for lapse in (np.nan, -6.5, np.inf):
        with pytest.raises(UsageError, match="expected 0 or more"):
            InSitu(lapse=lapse)


@pytest.mark.parametrize(
    "name, said, units, yes",
    [
        ("t2m", "", "degree_C", True),
        ("t2m", "", "kelvin", True),
        ("t2m", "", "degF", False),
        ("t850", "Temperature", "K", False),
        ("t_850", "Temperature", "K", False),
        ("q", "", "K", False),
    ],
)
def test_which_variables_are_temperatures_at_the_surface(name, said, units, yes):
    assert _temperature(xr.DataArray(0.0, name=name, attrs={"long_name": said, "units": units})) is yes
