"""The figures show the numbers they are given, in one style."""

import matplotlib
import numpy as np
import pytest
import xarray as xr

from genkit_weather import diagnostics, figures, verification
from genkit_weather.figures import style
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
    assert len(images) == 2 * 5
    np.testing.assert_array_equal(images[1].get_array(), case[1].t.values[1, 3])
    np.testing.assert_allclose(images[9].get_array(), case[0].t.values[1, 3].std(0, ddof=1))
    assert all(image.norm is images[0].norm for image in images[:8])
    frame = figure.axes[0].patches[0]
    assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((900, 600), 6 * 300, 8 * 300)


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


def test_spread_by_distance(case):
    rings = diagnostics.by_distance(*case, frame=(2, 2))
    figure = figures.spread_by_distance(rings, leads=[6.0], data=case[0])
    spread, rmse = figure.axes[0].get_lines()[:2]
    np.testing.assert_allclose(spread.get_ydata(), rings.t.sel(kind="spread", lead=6))
    np.testing.assert_allclose(rmse.get_ydata(), rings.t.sel(kind="rmse", lead=6))
    drawn(figure)


def test_plume(case):
    figure = figures.plume(*case, cell=(3, 4), variables=["u"])
    truth = next(line for line in figure.axes[0].get_lines() if line.get_color() == style.TRUTH)
    np.testing.assert_allclose(truth.get_ydata(), case[1].u.values[0, :, 3, 4])
    assert "Forecast from 1 Mar 2001 06 UTC, row 3, column 4" in drawn(figure)


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
    [("m s-1", "m s⁻¹"), ("m**2 s**-2", "m² s⁻²"), ("kg m^-2", "kg m⁻²"), ("K", "K"), ("%", "%")],
)
def test_units(units, shown):
    assert style.pretty(units) == shown
