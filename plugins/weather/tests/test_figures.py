"""The figures show the numbers they are given, in one style."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
import xarray as xr

from genkit.errors import DataError, UsageError
from genkit_weather import diagnostics, figures, verification
from genkit_weather.figures import style
from genkit_weather.figures.chart import Chart
from genkit_weather.figures.command import WeatherMaps
from genkit_weather.figures.leads import parse
from genkit_weather.figures.maps import field_colours


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    starts, leads, members, size = 3, 4, 6, 12
    coords = {
        "start": np.datetime64("2001-03-01T06", "s") + np.arange(starts) * np.timedelta64(6, "h"),
        "lead": 6.0 * np.arange(1, leads + 1),
        "y": ("y", 300.0 * np.arange(size), {"units": "km"}),
        "x": ("x", 300.0 * np.arange(size), {"units": "km"}),
    }
    attrs = {"t": ("K", "temperature at 2 m"), "u": ("m s-1", "zonal wind")}
    forecast, truth = xr.Dataset(coords=coords), xr.Dataset(coords=coords)
    for name, offset in (("t", 280), ("u", 0)):
        ens = rng.normal(offset, 1, (starts, leads, members, size, size))
        forecast[name] = ("start", "lead", "member", "y", "x"), ens
        truth[name] = ("start", "lead", "y", "x"), rng.normal(offset, 1, (starts, leads, size, size))
        forecast[name].attrs = dict(zip(("units", "long_name"), attrs[name], strict=True))
    return forecast, truth


def drawn(figure):
    """Texts of a figure after drawing it."""
    figure.canvas.draw()
    return [t.get_text() for t in figure.findobj(matplotlib.text.Text)]


def test_maps(case):
    figure = figures.forecast_maps(*case, "t", start=1, leads=[6, 24], members=2, frame=(2, 3))
    texts = drawn(figure)
    assert {"Temperature at 2 m", "Temperature at 2 m [K]", "Truth", "Member 2", "Spread"} <= set(texts)
    assert "Forecast from 1 Mar 2001 12 UTC, 6 members" in texts
    assert "+24 h\n2 Mar 2001 12 UTC" in texts
    images = [axis.images[0] for axis in figure.axes if axis.images]
    assert len(images) == 2 * 6
    ens, obs = case[0].t.values[1, 3], case[1].t.values[1, 3]
    np.testing.assert_array_equal(images[1].get_array(), obs)
    inner = np.s_[2:-2, 3:-3]
    np.testing.assert_allclose(images[9].get_array()[inner], (ens.mean(0) - obs)[inner])
    np.testing.assert_allclose(images[11].get_array()[inner], ens.std(0, ddof=1)[inner])
    for image in (images[9], images[11]):  # the frame is given
        assert np.ma.getmaskarray(image.get_array()).sum() == 12 * 12 - 8 * 6
    assert all(image.norm is images[0].norm for image in images[:8])
    assert {"0 km", "2000 km"} <= set(texts)
    frame = figure.axes[0].patches[0]
    assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((900, 600), 6 * 300, 8 * 300)


def test_maps_begin_with_the_analysis_and_need_no_truth(case):
    analysis = case[1].isel(lead=0)
    figure = figures.forecast_maps(case[0], None, "t", start=2, analysis=analysis, leads=[12])
    texts = drawn(figure)
    assert "+0 h\n1 Mar 2001 18 UTC" in texts and "Analysis" in texts and "Truth" not in texts
    images = [axis.images[0] for axis in figure.axes if axis.images]
    assert len(images) == 1 + 5
    np.testing.assert_array_equal(images[0].get_array(), analysis.t.values[2])


@pytest.fixture(scope="module")
def britain(case):
    """The case on a grid of degrees, rows from the north: 59.5 to 48.5 N, 10 W to 1 E."""
    lat, lon = np.meshgrid(59.5 - np.arange(12), np.arange(12) - 10.0, indexing="ij")
    places = {"latitude": (("y", "x"), lat), "longitude": (("y", "x"), lon)}
    return tuple(data.drop_vars(["y", "x"]).assign_coords(places) for data in case)


def test_maps_in_degrees_have_ticks_and_the_aspect_of_the_earth(britain):
    figure = figures.forecast_maps(*britain, "t", leads=[6])
    assert {"50°N", "55°N", "10°W", "0°"} <= set(drawn(figure))
    chart = Chart.of(britain[0])
    assert chart.flipped and chart.aspect == pytest.approx(1 / np.cos(np.deg2rad(54)), rel=1e-3)
    axis = figure.axes[0]
    place = dict(zip([t.get_text() for t in axis.get_yticklabels()], axis.get_yticks(), strict=True))
    x, y = chart.position(np.array([59.5 - 55]), np.array([0]))
    assert place["55°N"] == pytest.approx(y[0])


def test_coasts_are_those_of_the_files_that_are_here(britain, tmp_path, monkeypatch):
    """A coast along 55 N through the area is drawn where the grid has that latitude; nothing is fetched."""
    cartopy, shapefile = pytest.importorskip("cartopy"), pytest.importorskip("shapefile")
    for folder in ("pre_existing_data_dir", "data_dir", "repo_data_dir"):
        monkeypatch.setitem(cartopy.config, folder, tmp_path)
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("something was fetched"))
    assert not Chart.of(britain[0])._outlines  # no files, no coast
    shapes = tmp_path / "shapefiles/natural_earth/physical/ne_50m_coastline"
    with shapefile.Writer(shapes, shapeType=shapefile.POLYLINE) as file:
        file.field("name", "C")
        for line in ([[-20, 55], [20, 55]], [[100, 55], [120, 55]]):
            file.line([line])
            file.record("a")
    figure = figures.forecast_maps(*britain, "t", leads=[6])
    drawn(figure)
    coast = next(line for line in figure.axes[0].get_lines() if line.get_gid() == "coast")
    x, y = (a[np.isfinite(a)] for a in coast.get_data())
    left, right = Chart.of(britain[0]).position(np.array([0, 0]), np.array([0, 11]))[0]
    np.testing.assert_allclose(y, Chart.of(britain[0]).position(np.array([4.5]), np.array([0]))[1][0])
    assert left <= x.min() < left + 10 and right - 10 < x.max() <= right


def test_north_is_up(case):
    forecast, truth = (data.assign_coords(y=-data.y) for data in case)
    image = figures.forecast_maps(forecast, truth, "u").axes[0].images[0]
    np.testing.assert_array_equal(image.get_array(), truth.u.values[0, 0, ::-1])


def test_colours_diverge_only_where_a_field_has_both_signs():
    assert field_colours(np.linspace(-3, 4, 50))[0].name == "RdBu_r"
    assert field_colours(np.linspace(270, 290, 50))[0].name == "viridis"
    assert field_colours(np.linspace(-0.1, 9, 50))[0].name == "viridis"
    assert field_colours(np.zeros(5))[1].boundaries.size > 1
    levels = field_colours(np.array([-3.0, 4.0, np.nan]))[1].boundaries
    assert levels[0] == -levels[-1]


def test_scores_by_lead(case):
    results = verification.verify(*case) | {"persistence.rmse/t/6h": 2.0, "persistence.rmse/t/12h": None}
    curves = parse(results)
    assert curves["t"]["rmse"]["persistence"] == {6.0: 2.0}
    assert list(curves["u"]["ssr"][""]) == [6, 12, 18, 24]
    figure = figures.scores_by_lead(results, data=case[0], name="model")
    assert len(figure.axes) == 6
    line = figure.axes[0].get_lines()[0]
    np.testing.assert_allclose(line.get_ydata(), [results[f"rmse/t/{h}h"] for h in (6, 12, 18, 24)])
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["model", "persistence"]
    assert "Zonal wind [m s⁻¹]" in drawn(figure)


def test_rank_histogram(case):
    counts = diagnostics.rank_counts(*case, every=1)
    figure = figures.rank_histogram(counts, leads=[6.0], data=case[0])
    heights = [bar.get_height() for bar in figure.axes[0].containers[0]]
    assert sum(heights) == pytest.approx(7)
    assert "432 cases a panel" in " ".join(drawn(figure))


def test_spectra(case):
    power = diagnostics.spectra(*case, frame=(2, 2))
    figure = figures.spectra(power, lead=12.0, data=case[0])
    truth = figure.axes[0].get_lines()[0]
    np.testing.assert_allclose(truth.get_ydata(), power.t.sel(kind="truth", lead=12))
    np.testing.assert_allclose(truth.get_xdata()[0], 300 * 16)
    assert "Wavelength [km]" in drawn(figure)
    units = [axes.get_ylabel().removeprefix("Variance") for axes in figure.axes if "Variance" in axes.get_ylabel()]
    assert units == [f" [{style.square(style.unit(case[0][name]))}]" for name in power.data_vars]
    assert (style.square("K"), style.square("m s⁻¹")) == ("K²", "(m s⁻¹)²")


def test_spread_by_distance(case):
    rings = diagnostics.by_distance(*case, frame=(2, 2))
    figure = figures.spread_by_distance(rings, leads=[6.0], data=case[0])
    spread, rmse = figure.axes[0].get_lines()[:2]
    np.testing.assert_allclose(spread.get_ydata(), rings.t.sel(kind="spread", lead=6))
    np.testing.assert_allclose(rmse.get_ydata(), rings.t.sel(kind="rmse", lead=6))
    drawn(figure)


def test_plume(case):
    figure = figures.plume(*case, place=("910", "1190"), variables=["u"], analysis=case[1].isel(lead=1))
    truth = next(line for line in figure.axes[0].get_lines() if line.get_color() == style.TRUTH)
    np.testing.assert_allclose(truth.get_xdata(), [0, 6, 12, 18, 24])
    np.testing.assert_allclose(truth.get_ydata(), [case[1].u.values[0, 1, 3, 4], *case[1].u.values[0, :, 3, 4]])
    assert "Forecast from 1 Mar 2001 06 UTC, y 910 km, x 1190 km, row 3, column 4" in drawn(figure)


def test_plume_of_a_place(britain, tmp_path):
    """By degrees, or by the name of a station; what is unknown or outside is told."""
    stations = tmp_path / "obs.csv"
    stations.write_text("station,time,lat,lon,t [K]\nNew Town,2001-03-01T06,51.4,-2.2,280\n")
    assert figures.spot(britain[0], ("51.4", "-2.2"))[0] == (8, 8)
    cell, label = figures.spot(britain[0], ("New", "Town"), stations)
    assert cell == (8, 8) and label.startswith("New Town (51.4°N -2.2°E)")
    with pytest.raises(UsageError, match=r"51\.4°N 30°E is outside the area; it has 48\.5 to 59\.5° and -10 to 1°"):
        figures.spot(britain[0], ("51.4", "30"))
    with pytest.raises(UsageError, match="'Atlantis' is no station"):
        figures.spot(britain[0], ("Atlantis",), stations)


def test_pictures_of_a_file(britain, tmp_path, monkeypatch):
    """Of one start; what is no field is left out, what cannot be drawn is refused before anything is."""
    path, forecast = tmp_path / "f.nc", britain[0].copy()
    forecast["weight"] = forecast["t"].mean(("y", "x"))
    forecast["u"] = forecast["u"].where(forecast["lead"] < 12)
    forecast.to_netcdf(path, engine="h5netcdf")
    WeatherMaps(path, tmp_path / "maps", ("t",), leads=(6.0,), members=1, plume=("51", "-2")).run()
    assert sorted(p.name for p in (tmp_path / "maps").iterdir()) == ["maps_t.png", "plume.png"]
    with pytest.raises(UsageError, match="has no variable q; it has t, u"):
        WeatherMaps(path, tmp_path / "maps", ("q",)).run()
    monkeypatch.setattr(figures, "plume", lambda *_, **__: pytest.fail("something was drawn"))
    with pytest.raises(DataError, match="u has no values at 12, 24 h; choose others by --variables or --leads"):
        WeatherMaps(path, tmp_path / "maps", leads=(12.0, 24.0)).run()
    with pytest.raises(UsageError, match=r"--out .*f\.nc can be no folder"):
        WeatherMaps(path, path).run()
    with pytest.raises(UsageError, match="--stations obs.csv is for the name of a station; give it by --plume"):
        WeatherMaps(path, tmp_path / "maps", stations=Path("obs.csv")).run()
    with pytest.raises(UsageError, match="--start 3: the file has starts 0 to 2"):
        WeatherMaps(path, tmp_path / "maps", start=3).run()


def test_single_forecast_without_spread(case):
    one = case[0].isel(member=[0])
    assert "Forecast" in drawn(figures.forecast_maps(one, case[1], "t"))
    assert [t.get_text() for t in figures.plume(one, case[1]).legends[0].get_texts()] == ["truth", "forecast"]
    power = figures.spectra(diagnostics.spectra(one, case[1]))
    assert {"truth", "forecast"} < {t.get_text() for t in power.legends[0].get_texts()}
    assert "Forecast\n/ truth" in drawn(power)
    scores = figures.scores_by_lead(verification.verify(one, case[1]))
    assert len(scores.axes) == 2 * 2 and "RMSE" in drawn(scores)


def test_style_stays_inside(case):
    before = dict(matplotlib.rcParams)
    figures.plume(*case)
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("units", "shown"),
    [("m s-1", "m s⁻¹"), ("m**2 s**-2", "m² s⁻²"), ("kg m^-2", "kg m⁻²"), ("K", "K"), ("%", "%"), ("1", ""), ("", "")],
)
def test_units(units, shown):
    assert style.printed(units) == shown
