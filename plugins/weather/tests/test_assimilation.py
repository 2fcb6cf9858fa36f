"""`weather.assimilation` end to end on one line of Lorenz-96 sites."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

import genkit
from genkit.diffusion import Heun
from genkit.errors import DataError, GenkitError, UsageError
from genkit.model import recipe_of
from genkit.steer import DAISI, DDSMC, PiGDM
from genkit_weather.assimilation import Climate, Shape, etkf, quantity
from genkit_weather.cycling import (
    ETKF,
    GRIDS,
    Analysed,
    Case,
    Decoupled,
    ForecastOI,
    Stations,
    cycle,
    tuned,
)
from genkit_weather.cycling.methods import relaxed
from genkit_weather.data import Series
from genkit_weather.datasets import L96
from genkit_weather.experiments.assimilation import Assimilation
from genkit_weather.models import CRPSLAM, OIDiffusion, Snapshot
from genkit_weather.networks import LamUNet

NETWORK = LamUNet(
    base=8, multipliers=(1,), blocks=1, embedder=8, embedding=16, patch=1, padding=("zero", "zero"), noise_skip=0
)
METHODS = ("free", "frame_regression", "oi", "forecast_oi", "etkf", "letkf", "daisi", "oi_diffusion")
CYCLES = 40


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """All that a study does, with models that have learned nothing: only that about OI makes its one step."""
    options = {
        "data": L96(train=6), "methods": METHODS, "stations": Stations(12), "members": 3, "leads": 1, "cycles": CYCLES,
        "model": CRPSLAM(network=NETWORK, latent=4, stages=((1, 1),), validate=1000),
        "prior": Snapshot(network=NETWORK, steps=1, sampler=Heun(steps=2)),
        "oi": OIDiffusion(network=NETWORK, steps=1, examples=8, sampler=Heun(steps=2)), "archive": 24, "tuning": 2,
        "every": 20, "inverse": DAISI(steps=2, guidance=PiGDM()),
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        grids = {"letkf": {"inflation": (1.0, 1.1), "keep": (0.5,)}}
        patch.setattr("genkit_weather.experiments.assimilation.GRIDS", grids)
        for recipe in (CRPSLAM, Snapshot):
            patch.setattr(recipe, "learn", lambda self, run, name, loss, params, *_: params)
        return genkit.run(Assimilation(**options), seed=1, out=tmp_path_factory.mktemp("runs") / "run")


def test_results_of_all_methods(run):
    r = run.results
    for name in METHODS:
        for metric in ("rmse", "crps", "ssr"):
            assert r[f"analysis.{metric}/{name}/value"] > 0
        assert r[f"withheld.rmse/{name}/value"] > 0 and r[f"forecast.rmse/{name}/value/6h"] > 0
        assert r[f"seconds/{name}"] > 0
        assert (f"innovation.chi2/{name}" in r) == (name not in ("frame_regression", "oi"))
    assert (run.folder / "tuning.json").exists() and "errors" in [f.stem for f in (run.folder / "figures").iterdir()]


def test_optimal_interpolation_errs_as_its_covariance_says(run):
    config, case = run.config, run.config.case(run, "test")
    climate = config.climate(run)
    nothing = np.zeros((1, *climate.shape))
    left = [climate.covariance.analyse(nothing, case.given[row], Shape())[1] for row in case.rows[2:]]
    said = np.sqrt(np.square(left).mean()) * climate.std[0]
    assert run.results["analysis.rmse/oi/value"] == pytest.approx(said, rel=0.1)


@dataclass
class Still:
    """Forecasts of a world in which nothing changes."""

    climate: Climate
    series: Series

    def __call__(self, start, before, prev, leads):
        return np.repeat(prev[None], leads, 0)


def test_a_cycle_with_a_perfect_model_is_the_kalman_filter_of_all_observations(run):
    case, climate = run.config.case(run, "test"), run.config.climate(run)
    members, observed = climate.covariance.draw(np.random.default_rng(0), 30), case.given[case.rows[2]]
    rows = case.rows[:5]  # three analyses after the first two, of the same observations
    seen = dict.fromkeys(rows, observed)
    record = cycle(ETKF(climate, 1.0), lambda *_: Analysed(members), Still(climate, case.series), seen, rows, 30, 0)
    once = etkf(members.reshape(30, -1), observed.predict(members), observed.y, observed.error / np.sqrt(3))
    last = record.states[-1].reshape(30, -1)
    assert np.allclose(last.mean(0), once.mean(0), atol=1e-3) and np.allclose(np.cov(last.T), np.cov(once.T), atol=1e-3)


def test_a_step_towards_the_climate_leaves_its_law(run):
    climate, case = run.config.climate(run), run.config.case(run, "test")
    situation, rng = climate.situation(case.series, [5]), np.random.default_rng(0)
    members = situation.expected + climate.covariance.draw(rng, 2000)
    after = relaxed(rng, climate, members, situation, 0.6)
    assert np.allclose(
        after.mean(0), situation.expected[0] + 0.6 * (members.mean(0) - situation.expected[0]), atol=1e-5
    )
    assert np.allclose(after.var(0).ravel(), climate.covariance.variance, rtol=0.15)
    together = ((after - after.mean(0)) * (members - members.mean(0))).mean() / members.var(0).mean()
    assert together == pytest.approx(0.6, abs=0.03)


def test_scores_are_those_of_the_kept_members(run):
    config, case = run.config, run.config.case(run, "test")
    climate, record = config.climate(run), config.record(run, "letkf")
    truth = climate.states(case.series, case.rows[2:])
    error = np.sqrt(np.square(record.states.mean(1) - truth).mean()) * climate.std[0]
    assert run.results["analysis.rmse/letkf/value"] == pytest.approx(error, rel=1e-5)
    ratio = np.sqrt(4 / 3 * record.states.var(1, ddof=1).mean()) * climate.std[0] / error
    assert run.results["analysis.ssr/letkf/value"] == pytest.approx(ratio, rel=1e-5)


@pytest.mark.parametrize("name", ["etkf", "letkf", "daisi"])
def test_observations_of_huge_error_leave_the_forecast(run, name):
    config, case = run.config, run.config.case(run, "test")
    row = case.rows[2]
    background = config.record(run, "free").states[0]
    observed = replace(case.given[row], error=case.given[row].error * 1e4)
    options = {"inflation": 1.0} if "etkf" in name else {"steps": 40, "level": 0.1} if name == "daisi" else {}
    method, situation = config.method(run, name, options), config.climate(run).situation(case.series, [row])
    analysis = method(np.random.default_rng(0), background, situation, observed).states
    assert np.abs(analysis - background).max() < (0.05 if name == "daisi" else 1e-3)


def test_optimal_interpolation_keeps_a_share_of_the_forecast(run):
    case, climate = run.config.case(run, "test"), run.config.climate(run)
    background, situation = run.config.record(run, "free").states[0], climate.situation(case.series, [case.rows[2]])
    nothing = case.given[case.rows[2]].without()
    mean = ForecastOI(climate, keep=0.3)(np.random.default_rng(0), background, situation, nothing).states.mean(0)
    x = situation.expected[0]
    assert np.allclose(mean, x + 0.3 * (background.mean(0) - x), atol=1e-4)


def test_particles_say_their_evidence_and_how_narrow_their_prior_is(run):
    case, prior, method = run.config.case(run, "test"), run.trained("prior"), DDSMC(eta=1.0, steps=3)
    row, background = case.rows[2], np.zeros((3, 1, 24, 1), np.float32)
    situation = run.config.climate(run).situation(case.series, [row])
    found = Decoupled(prior, method, 2)(np.random.default_rng(0), background, situation, case.given[row])
    assert found.states.shape == background.shape and 1 <= found.said["evidence_ess"] <= 3
    assert found.said["prior_std_ratio"] == method.prior_std() < 1


def test_backgrounds_are_mean_forecasts_or_what_is_expected(run):
    config, case = run.config, run.config.case(run, "test")
    free, expected = config.record(run, "free"), config.climate(run).situation(case.series, case.rows[2:]).expected
    assert np.allclose(free.backgrounds, free.states.mean(1), atol=1e-5)  # which are its analyses
    assert np.allclose(config.record(run, "oi").backgrounds, expected, atol=1e-6)


def test_withheld_stations_are_given_to_no_method(run):
    case = run.config.case(run, "test")
    for row, given in case.given.items():
        hidden = case.withheld[row]
        assert not (given.there & hidden.there).any() and hidden.there.sum() == 3 and given.there.sum() == 12


def test_tuning_takes_the_least_score_and_nan_is_none():
    grid = {"inflation": (1.0, 2.0, 3.0), "length": (5.0,)}
    scores = {1.0: float("nan"), 2.0: 0.5, 3.0: 0.7}
    assert tuned("letkf", grid, lambda o: scores[o["inflation"]]) == ({"inflation": 2.0, "length": 5.0}, 0.5)
    with pytest.raises(GenkitError, match="no analysis of letkf"):
        tuned("letkf", grid, lambda o: float("nan"))


def test_options_that_were_given_are_not_tuned():
    assert Assimilation().grid("daisi") == GRIDS["daisi"] and Assimilation().grid("oi") == GRIDS["oi"]
    assert Assimilation(inverse=DAISI(level=4.0)).grid("daisi") == {"noise": GRIDS["daisi"]["noise"]}
    assert Assimilation(inverse=DAISI(level=4.0, noise=0.5)).grid("daisi") == {}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"leads": 10_000}, "are needed for 40 analyses and 10000 steps"),
        ({"tuning": 10_000}, "are needed for 10000 analyses"),
        ({"stations": Stations(12, ("value>1",))}, "daisi with PiGDM takes no events"),
        ({"stations": Stations(12, ("arctan(value)",)), "methods": ("ddsmc",)}, "ddsmc takes variables alone"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_trained(run, options, said):
    config, parts = replace(run.config, **options), {"data": run.config.weather(run), "folds": run.config.folds(run)}
    fresh = SimpleNamespace(seed=1, say=print, once=lambda name, make: parts[name] if name in parts else make())
    with pytest.raises((DataError, UsageError), match=said) as error:
        config.prepare(fresh)
    assert "\n" not in str(error.value)
    replace(config, **{name: getattr(run.config, name) for name in options}).prepare(fresh)


def parted(run, stations, withheld, departure=6.0):
    config = run.config
    data, climate = config.weather(run), config.climate(run)
    rng = np.random.default_rng(0)
    return Case.synthetic(rng, Stations(stations), data, climate, data.test[0], 3, 0, withheld, departure)


@pytest.mark.parametrize(("share", "counts"), [(0.0, (4, 0)), (0.2, (3, 1)), (0.9, (1, 3))])
def test_one_station_of_a_file_is_given_however_many_are_withheld(run, share, counts):
    data, climate, rng = run.config.weather(run), run.config.climate(run), np.random.default_rng(0)
    stations, series = Stations(4), data.test[0]
    network = stations.network(rng, data, climate)
    seen = {series.time[row]: stations.measure(rng, network, climate, series, row) for row in (5, 6)}
    used, _, withheld = Case.matched(rng, network, seen, data, climate, 4, 0, share, np.inf).counts
    assert (used, withheld) == counts


def test_one_station_is_not_withheld_and_that_is_said(run, capsys):
    assert parted(run, 1, 0.2).counts == (1, 3, 0)
    config = replace(run.config, stations=Stations(1), tuning=0)
    parts = {"data": config.weather(run), "folds": config.folds(run)}
    config.prepare(SimpleNamespace(seed=1, say=print, once=lambda n, make: parts[n] if n in parts else make()))
    assert "none is withheld" in capsys.readouterr().out


def test_withheld_observations_pass_the_departure_check(run):
    strict = parted(run, 20, 0.5, departure=0.5)
    every = parted(run, 20, 0.5, departure=np.inf)
    kept, all_of_them = (sum(int(o.there.sum()) for o in case.withheld.values()) for case in (strict, every))
    assert kept < all_of_them and not every.gross.any()
    given = [sum(int(o.there.sum()) for o in case.given.values()) for case in (strict, every)]
    assert strict.gross.sum() == all_of_them - kept + given[1] - given[0]


def test_stations_that_depart_most_are_told_first(run):
    departed = np.array(
        [[[1.0, np.nan], [8.0, -6.0]], [[-1.0, 2.0], [np.nan, np.nan]]]
    )  # (times, stations, quantities)
    case = replace(run.config.case(run, "test"), names=("near", "far"), departed=departed, most=7.0)
    told = [("far", 2, 1, 1.0, 50**0.5), ("near", 3, 0, pytest.approx(2 / 3), 2**0.5)]
    assert case.by_station() == told


def test_a_restored_correction_makes_no_archive(run, monkeypatch):
    recipes = {"model": recipe_of(run.folder), "oi": recipe_of(run.folder / "models" / "oi")}
    again = run.part("again", replace(run.config, methods=("oi_diffusion",), **recipes))
    monkeypatch.setattr(Assimilation, "archived", None)
    again.config.train(again)
    assert np.array_equal(again.trained("oi").share, run.trained("oi").share)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"members": 1}, "no spread"),
        ({"withheld": 1.0}, "withheld"),
        ({"methods": ()}, "no method"),
        ({"methods": ("kriging",)}, "kriging"),
        ({"departure": 0.0}, "departure"),
        ({"inverse": DAISI(sigma_min=0.6)}, "sigma_min=0.6 is not below the levels 0.5, 1.0, 3.0"),
    ],
)
def test_options_are_checked(options, said):
    with pytest.raises(UsageError, match=said):
        Assimilation(**options)


def test_presets_name_quantities_of_their_data():
    for preset in ("surface", "nonlinear"):
        for name in Assimilation.preset(preset).stations.quantities:
            quantity(name, ("z_up", "t_mid", "t_sfc", "u_sfc", "v_sfc"), ("u_sfc", "v_sfc"))
