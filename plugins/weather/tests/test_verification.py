"""Scores by lead and diagnostics of forecasts whose quality is known by construction."""

import numpy as np
import pytest
import xarray as xr

from genkit.errors import DataError, UsageError
from genkit_weather import diagnostics, verification
from genkit_weather.data import Statistics
from genkit_weather.events import Events, event_reliability, event_scores


def pair(starts=6, leads=2, members=5, h=16, w=14, scale=1.0, bias=0.0, seed=0):
    """Members N(bias, scale^2) and truth N(0, 1), independent in every cell; 6 h steps."""
    rng = np.random.default_rng(seed)
    start = np.datetime64("2001-01-01", "s") + np.arange(starts) * np.timedelta64(6, "h")
    coords = {"start": start, "lead": 6.0 * np.arange(1, leads + 1)}
    ens = rng.normal(bias, scale, (starts, leads, members, h, w)).astype(np.float32)
    obs = rng.normal(size=(starts, leads, h, w)).astype(np.float32)
    forecast = xr.Dataset({"z": (("start", "lead", "member", "y", "x"), ens)}, coords)
    truth = xr.Dataset({"z": (("start", "lead", "y", "x"), obs)}, coords)
    return forecast, truth


def test_calibrated_ensemble():
    results = verification.verify(*pair(starts=40, h=30, w=30))
    assert list(results)[:2] == ["rmse/z/6h", "rmse/z/12h"]
    assert results["rmse/z/6h"] == pytest.approx(1.2**0.5, abs=0.02)
    assert results["spread/z/6h"] == pytest.approx(1, abs=0.02)
    assert results["ssr/z/12h"] == pytest.approx(1, abs=0.02)
    assert results["crps/z/12h"] == pytest.approx(0.5642, abs=0.01)
    assert results["bias/z/12h"] == pytest.approx(0, abs=0.02)


def test_equals_numpy_over_the_interior_whatever_the_chunks(monkeypatch):
    forecast, truth = pair(starts=5)
    weights = np.random.default_rng(1).uniform(size=(16, 14))
    kwargs = dict(frame=(3, 2), weights=weights, names=("rmse", "bias", "spread", "crps_biased"))
    whole = verification.verify(forecast, truth, **kwargs)
    monkeypatch.setattr(verification, "CHUNK_BYTES", 2 * 4 * 2 * 5 * 16 * 14)
    assert verification.verify(forecast, truth, **kwargs) == pytest.approx(whole, rel=1e-5)
    ens, obs = forecast.z.values[:, 1, :, 3:-3, 2:-2].astype(float), truth.z.values[:, 1, 3:-3, 2:-2]
    a = weights[3:-3, 2:-2] / weights[3:-3, 2:-2].mean()
    assert whole["rmse/z/12h"] == pytest.approx(np.sqrt((a * (ens.mean(1) - obs) ** 2).mean()), rel=1e-5)
    assert whole["bias/z/12h"] == pytest.approx((a * (ens.mean(1) - obs)).mean(), rel=1e-4)
    assert whole["spread/z/12h"] == pytest.approx(np.sqrt((a * ens.var(1, ddof=1)).mean()), rel=1e-5)


def test_energy_and_variogram_of_two_cells_by_hand():
    """Truth (0, 3), members (1, 3) and (1, 7): |x - y| = 1 and sqrt(17), |x - x'| = 4; increments 3 of 2 and 6."""
    forecast, truth = pair(starts=2, leads=1, members=2, h=1, w=2)
    forecast.z[:] = np.array([[[1, 3]], [[1, 7]]])
    truth.z[:] = np.array([[0, 3]])
    results = verification.verify(forecast, truth)
    assert results["energy/z/6h"] == pytest.approx((1 + 17**0.5) / 2 - 4 / 2, rel=1e-6)
    assert results["variogram/z/6h"] == pytest.approx(2 * (3**0.5 - (2**0.5 + 6**0.5) / 2) ** 2, rel=1e-5)


def test_scores_of_each_start_have_the_scores_as_their_mean():
    forecast, truth = pair()
    table = verification.scores(forecast, truth)
    each, results = verification.by_start(table), verification.summary(table)
    for name in ("mae/z/6h", "crps/z/12h", "energy/z/6h", "variogram/z/12h"):
        assert each[name].shape == (6,) and each[name].mean() == pytest.approx(results[name], rel=1e-6)
    assert each["mse/z/6h"].mean() ** 0.5 == pytest.approx(results["rmse/z/6h"], rel=1e-6)


def test_single_forecast_has_no_spread_and_its_crps_is_the_mae():
    forecast, truth = pair(members=1)
    results = verification.verify(forecast.isel(member=0), truth, baseline="persistence")
    assert results["persistence.crps/z/6h"] == pytest.approx(results["persistence.mae/z/6h"])
    assert not any(word in key for key in results for word in verification.OF_SEVERAL)


def test_growth_is_the_worst_departure_from_the_climate():
    forecast, _ = pair(starts=40, h=30, w=30, scale=2.0)
    forecast.z[:, 1] *= 1.5  # std 3 at the last lead, 2 before
    climate = Statistics(*np.array([[1.0], [4.0], *6 * [[0.0]]], np.float32))
    results = verification.growth(forecast, climate, frame=(2, 3))
    assert results == {"growth/z/12h": pytest.approx(10**0.5 / 4, abs=0.01)}
    forecast.z[0, 0, 0, 8, 8] = np.nan
    assert verification.growth(forecast, climate) == {"growth/z/12h": None}


def test_a_forecast_remembers_as_long_as_it_beats_the_frame():
    """Errors 1, 2, 3, 2 against 2.5 at each lead: better until the second, and never again after that."""
    _, truth = pair(leads=4)
    by_frame, grown = truth + 2.5, truth + xr.DataArray([1.0, 2, 3, 2], dims="lead")
    memory = verification.memory(grown.expand_dims(member=1), by_frame.expand_dims(member=1), truth, frame=(2, 3))
    assert memory == {"memory/z": 12.0}
    worse = (truth + 3.0).expand_dims(member=1)
    assert verification.memory(worse, by_frame.expand_dims(member=1), truth, frame=(2, 3)) == {"memory/z": 0.0}


def test_forecast_that_blew_up_scores_none():
    forecast, truth = pair()
    forecast.z[2, 1, 0, 8, 8] = np.inf
    results = verification.verify(forecast, truth)
    assert results["rmse/z/12h"] is None and results["rmse/z/6h"] is not None


def test_truth_is_matched_by_start_and_lead():
    forecast, truth = pair()
    late = forecast.isel(start=slice(3, None), lead=[1])
    shuffled = truth.isel(start=[5, 4, 3, 2, 1, 0])
    assert verification.verify(late, shuffled) == verification.verify(late, truth.isel(start=slice(3, None), lead=[1]))
    with pytest.raises(DataError, match="lacks starts"):
        verification.verify(forecast, truth.isel(start=slice(3)))
    with pytest.raises(DataError, match="no variable z"):
        verification.verify(forecast, truth.rename(z="t"))


def test_lead_decoded_as_a_time_difference():
    forecast, truth = pair()
    decoded = forecast.assign_coords(lead=(forecast.lead.values * 3600).astype("timedelta64[s]"))
    assert verification.verify(decoded, truth) == verification.verify(forecast, truth)


def test_rank_counts(monkeypatch):
    forecast, truth = pair(starts=50, scale=0.3)
    counts = diagnostics.rank_counts(forecast, truth, every=2, frame=(1, 0))
    assert counts.z.shape == (2, 6)
    assert (counts.z.sum("rank") == 50 * 7 * 7).all()
    # Narrow ensemble: P(truth below 5 draws of N(0, 0.3^2)) is far above 1/6.
    assert (counts.z.isel(rank=[0, 5]) / counts.z.sum("rank") > 0.3).all()


def test_spectra_of_half_the_amplitude():
    _, truth = pair(starts=4)
    forecast = (truth * 0.5).expand_dims(member=3)
    result = diagnostics.spectra(forecast, truth, frame=(2, 2))
    np.testing.assert_allclose(result.z.sel(kind="members") / result.z.sel(kind="truth"), 0.25, rtol=1e-4)
    np.testing.assert_allclose(result.z.sel(kind="mean"), result.z.sel(kind="members"), rtol=1e-4)
    assert result.frequency[-1] < 0.5


def test_spread_by_distance_to_the_frame():
    forecast, truth = pair(starts=30, h=12, w=12)
    ring = np.minimum.reduce(np.meshgrid(*[np.minimum(np.arange(12), np.arange(12)[::-1])] * 2))
    result = diagnostics.by_distance(forecast * xr.DataArray(ring, dims=("y", "x")), truth, frame=(2, 2))
    np.testing.assert_array_equal(result.distance, [1, 2, 3, 4])
    np.testing.assert_allclose(result.z.sel(kind="spread", lead=6), [2, 3, 4, 5], rtol=0.08)


def test_geostrophic_residual():
    y = 0.5 * np.arange(32)
    field = xr.DataArray(np.sin(0.3 * y), dims="y").expand_dims(lead=2, start=3, x=8)
    # Centred differences of the sine: slope cos(.3 y) sin(.3 dy) / dy, so the residual is 1 - sin(.15) / .15.
    wind = xr.DataArray(-0.3 * np.cos(0.3 * y), dims="y").expand_dims(lead=2, start=3, x=8)
    data = xr.Dataset({"z_up": 1.5 * field, "t_mid": 0.5 * field, "u_sfc": wind})
    np.testing.assert_allclose(diagnostics.geostrophic_residual(data, 0.5), 1 - np.sin(0.15) / 0.15, rtol=1e-6)


def test_cells_whose_truth_is_missing_do_not_count():
    """The scores are those of the area without them; a truth that is missing at one start alone is refused."""
    forecast, truth = pair(starts=3)
    sea = truth.x < 9
    bare = forecast.where(sea, 1e6), truth.where(sea)
    names = ("rmse", "mae", "bias", "crps", "spread", "ssr", "energy")
    part = [file.isel(x=slice(0, 9)) for file in (forecast, truth)]
    expected = verification.verify(*part, names=names)
    found = verification.verify(*bare, names=(*names, "variogram"))
    assert found.pop("variogram/z/6h") is None and found.pop("variogram/z/12h") is None
    assert found == pytest.approx(expected, rel=1e-5)
    counts = diagnostics.rank_counts(*bare, every=1)
    assert (counts["z"].sum("rank") == 3 * 16 * 9).all()
    rings = diagnostics.by_distance(*bare)["z"].sel(kind="rmse", lead=6.0)
    corner = (forecast.z.mean("member") - truth.z).isel(lead=0)
    edge = np.zeros((16, 14), bool)
    edge[[0, -1]] = edge[:, [0, -1]] = True
    edge[:, 9:] = False
    assert float(rings[0]) == pytest.approx(float(np.sqrt((corner.values[:, edge] ** 2).mean())), rel=1e-5)
    assert diagnostics.spectra(*bare)["z"].isnull().all()
    with pytest.raises(DataError, match="truth of z is not finite"):
        verification.verify(forecast, truth.where((truth.x > 0) | (truth.start > truth.start[0])))


def test_events_by_hand():
    """Two members on one row of four cells; the second start has no event and is forecast as none."""
    forecast, truth = pair(starts=2, leads=1, members=2, h=1, w=4)
    forecast.z[:] = 0
    truth.z[:] = 0
    forecast.z[0, 0, :, 0] = np.array([[2, 2, 0, 0], [2, 0, 0, 0]])
    truth.z[0, 0, 0] = np.array([2, 0, 0, 2])
    found = event_scores(forecast, truth, Events((("z", 2.0),), neighbourhood=3))
    share, event = np.array([1, 0.5, 0, 0]), np.array([1, 0, 0, 1])
    assert found["brier/z>=2/6h"] == pytest.approx(((share - event) ** 2 - share * (1 - share)).mean() / 2)
    around = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]])
    p, o = (around @ a / around.sum(1) for a in (share, event))
    assert found["fss/z>=2/6h"] == pytest.approx(1 - ((p - o) ** 2).sum() / (p**2 + o**2).sum())
    sure = event_scores(forecast.isel(member=[0]), truth, Events((("z", 2.0),), 1), baseline="one")
    assert sure == {"one.fss/z>=2/6h": pytest.approx(1 - 2 / 4)}
    reliable = event_reliability(forecast, truth, Events((("z", 2.0),)))["z"][2.0]
    np.testing.assert_allclose(reliable.weight[[0, 5, 9]], [6, 1, 1])
    np.testing.assert_allclose(reliable.observed[[0, 5, 9]], [1 / 6, 0, 1])
    with pytest.raises(UsageError, match="events: there is no variable q; there are z"):
        event_scores(forecast, truth, Events((("q", 1.0),)))
    with pytest.raises(UsageError, match="give an odd number"):
        Events(neighbourhood=4)
    with pytest.raises(UsageError, match="z 101325 stands twice"):
        Events((("z", 101325.1), ("z", 101325.4)))


def test_a_forecast_that_is_not_finite_has_no_event_scores():
    """One member at one start: no score at that lead, and no case of the diagram."""
    forecast, truth = pair(starts=2, leads=2, members=2)
    whole = event_reliability(forecast, truth, Events((("z", 0.5),)))["z"][0.5]
    forecast.z[0, 0, 1] = np.nan
    found = event_scores(forecast, truth, Events((("z", 0.5),)))
    assert [name for name, value in found.items() if value is None] == ["brier/z>=0.5/6h", "fss/z>=0.5/6h"]
    rest = event_reliability(forecast, truth, Events((("z", 0.5),)))["z"][0.5]
    assert float(rest.weight.sum()) == float(whole.weight.sum()) * 3 / 4


def test_the_diagram_counts_cells_by_their_weights():
    forecast, truth = pair(starts=2, leads=1, members=3)
    w = np.zeros((forecast.sizes["y"], forecast.sizes["x"]))
    w[2:5, 3] = 2.0
    found = event_reliability(forecast, truth, Events((("z", 0.5),)), weights=w)["z"][0.5]
    alone = forecast.isel(y=slice(2, 5), x=[3]), truth.isel(y=slice(2, 5), x=[3])
    there = event_reliability(*alone, Events((("z", 0.5),)))["z"][0.5]
    np.testing.assert_allclose(found.weight, 2 * there.weight)
    np.testing.assert_allclose(found.observed, there.observed)


def test_events_count_each_start_once_and_known_cells_alone(monkeypatch):
    forecast, truth = pair(starts=5, members=3)
    events = Events((("z", 0.5), ("z", 1.0)), 3)
    whole = event_scores(forecast, truth, events, frame=(2, 2)), event_reliability(forecast, truth, events)
    monkeypatch.setattr(verification, "CHUNK_BYTES", 2 * 4 * 2 * 3 * 16 * 14)
    assert event_scores(forecast, truth, events, frame=(2, 2)) == pytest.approx(whole[0], rel=1e-5)
    for level, found in event_reliability(forecast, truth, events)["z"].items():
        np.testing.assert_allclose(found, whole[1]["z"][level], rtol=1e-5)
    truth.z[..., 5:] = np.nan
    part = event_scores(forecast, truth, events)
    there = event_scores(forecast.isel(x=slice(5)), truth.isel(x=slice(5)), events)
    assert part == pytest.approx(there, rel=1e-5)


def test_scores_by_hour_and_season_of_validity():
    """Members that all err by the hour of the day in the first half of the starts, which are in winter, else by 30."""
    forecast, truth = pair(starts=8, leads=2, members=2)
    start = np.concatenate([np.datetime64(day, "s") + 6 * np.arange(4) * np.timedelta64(1, "h")
                            for day in ("2001-02-01", "2001-06-01")])  # fmt: skip
    valid = start[:, None] + np.array([6, 12], "timedelta64[h]")
    hour = (valid.astype("datetime64[h]") - valid.astype("datetime64[D]")).astype(int)
    error = np.where(np.arange(8)[:, None] < 4, hour, 30.0)
    truth.z[:] = 0
    forecast.z[:] = error[:, :, None, None, None]
    forecast, truth = forecast.assign_coords(start=start), truth.assign_coords(start=start)
    found = verification.by_validity(verification.scores(forecast, truth))
    assert {k.rpartition("/")[2] for k in found} == {"00", "06", "12", "18", "DJF", "JJA"}
    assert found["rmse_hour/z/06"] == pytest.approx(((36 + 900) / 2) ** 0.5)
    assert found["bias_hour/z/12"] == pytest.approx(21) and found["crps_season/z/DJF"] == pytest.approx(9)
    assert found["rmse_season/z/JJA"] == pytest.approx(30)
    assert verification.by_validity(verification.scores(forecast.isel(start=[0], lead=[0]), truth)) == {}
