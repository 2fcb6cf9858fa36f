"""`weather.assimilation` end to end on one line of Lorenz-96 sites, `genkit weather-analyse`, files of observations."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import xarray as xr

import genkit
from genkit.diffusion import Heun
from genkit.errors import DataError, GenkitError, UsageError
from genkit.steer import DAISI, DDSMC, PiGDM
from genkit_weather.assimilation import Climate, Shape, etkf, quantity
from genkit_weather.cycling import (
    ETKF,
    GRIDS,
    OI,
    Analysed,
    Case,
    Decoupled,
    Expected,
    Stations,
    cycle,
    read_network,
    tuned,
)
from genkit_weather.cycling.command import WeatherAnalyse
from genkit_weather.cycling.methods import relaxed
from genkit_weather.data import Series
from genkit_weather.datasets import L96
from genkit_weather.experiments.assimilation import Assimilation
from genkit_weather.gridded import to_xarray
from genkit_weather.models import CRPSLAM, OIDiffusion, Snapshot
from genkit_weather.networks import LamUNet

NETWORK = LamUNet(
    base=8, multipliers=(1,), blocks=1, embedder=8, embedding=16, patch=1, padding=("zero", "zero"), noise_skip=0
)
METHODS = ("free", "frame_regression", "oi", "forecast_oi", "etkf", "letkf", "daisi", "oi_diffusion")
CYCLES = 40


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """All that a study does, with models that have learned nothing."""
    options = {
        "data": L96(train=6), "methods": METHODS, "stations": Stations(12), "members": 3, "leads": 1, "cycles": CYCLES,
        "model": CRPSLAM(network=NETWORK, latent=4, stages=((1, 1),), validate=1000),
        "prior": Snapshot(network=NETWORK, steps=1, sampler=Heun(steps=2)),
        "oi": OIDiffusion(network=NETWORK, steps=1, examples=8, sampler=Heun(steps=2)), "archive": 24, "tuning": 2,
        "every": 20, "inverse": DAISI(steps=2, guidance=PiGDM()),
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        grids = {"letkf": {"inflation": (1.0, 1.1), "keep": (0.5,)}}
        for place in ("genkit_weather.cycling.tuning.GRIDS", "genkit_weather.cycling.GRIDS"):
            patch.setattr(place, grids)
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
    with_forecasts = cycle(OI(climate, keep=1.0), Expected(climate), Still(climate, case.series), seen, rows, 3, 0)
    errors = np.abs(observed.y - observed.predict(with_forecasts.states.mean(1)))
    assert (errors[2] < errors[0]).all()  # the same again and again: it is believed ever more


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


@pytest.mark.parametrize("name", ["forecast_oi", "etkf", "letkf", "daisi"])
def test_observations_of_huge_error_leave_the_forecast(run, name):
    config, case = run.config, run.config.case(run, "test")
    row = case.rows[2]
    background = config.record(run, "free").states[0]
    observed = replace(case.given[row], error=case.given[row].error * 1e4)
    options = {"inflation": 1.0} if "etkf" in name else {"steps": 40, "level": 0.1} if name == "daisi" else {}
    method, situation = config.method(run, name, options), config.climate(run).situation(case.series, [row])
    analysis = method(np.random.default_rng(0), background, situation, observed).states
    assert np.abs(analysis - background).max() < (0.05 if name == "daisi" else 1e-3)


def test_particles_say_their_evidence_and_how_narrow_their_prior_is(run):
    case, prior, method = run.config.case(run, "test"), run.trained("prior"), DDSMC(eta=1.0, steps=3)
    row, background = case.rows[2], np.zeros((3, 1, 24, 1), np.float32)
    situation = run.config.climate(run).situation(case.series, [row])
    found = Decoupled(prior, method, 2)(np.random.default_rng(0), background, situation, case.given[row])
    assert found.states.shape == background.shape and 1 <= found.said["evidence_ess"] <= 3
    assert found.said["prior_std_ratio"] == method.prior_std() < 1


def test_withheld_stations_are_given_to_no_method(run):
    case = run.config.case(run, "test")
    for row, given in case.given.items():
        hidden = case.withheld[row]
        assert not (given.there & hidden.there).any() and hidden.there.sum() == 3 and given.there.sum() == 12


def test_tuning_takes_the_least_score_and_nan_is_none(monkeypatch):
    monkeypatch.setitem(GRIDS, "letkf", {"inflation": (1.0, 2.0, 3.0), "length": (5.0,)})
    scores = {1.0: float("nan"), 2.0: 0.5, 3.0: 0.7}
    assert tuned("letkf", lambda o: scores[o["inflation"]]) == ({"inflation": 2.0, "length": 5.0}, 0.5)


@pytest.fixture(scope="module")
def files(run, tmp_path_factory):
    """A background and observations of the truth at row 5 of the test series."""
    folder, config = tmp_path_factory.mktemp("files"), run.config
    data, climate = config.weather(run), config.climate(run)
    series = data.test[0]
    cut = replace(series, state=series.state[5:6], forcing=series.forcing[5:6], time=series.time[5:6])
    to_xarray(data, cut).to_netcdf(folder / "background.nc")
    lines = ["station,time,y,x,value [1],value error"]
    network = Stations(6).network(np.random.default_rng(3), data, climate)
    for name, place in zip(network.names, network.place, strict=True):
        y = series.state[5, 0, 4:-4, 0]
        value = np.interp(place[1], np.arange(24), y)
        lines.append(f"{name},{series.time[5]},0,{place[1] + 4},{value:.4f},0.01")
    (folder / "obs.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize("part", ["oi", "prior"])
def test_an_analysis_from_files(run, files, part, tmp_path, capsys):
    out = tmp_path / "analysis.nc"
    model = run.folder / "models" / part
    WeatherAnalyse(model, files / "background.nc", files / "obs.csv", out, members=3).run()
    with xr.open_dataset(out, decode_timedelta=False) as file:
        assert file["value"].shape == (1, 1, 3 if part == "oi" else 1, 1, 32)
        frame = file["value"].values[0, 0, 0, 0, :4]
    assert np.allclose(frame, run.config.weather(run).test[0].state[5, 0, :4, 0], atol=1e-4)
    assert "6 observations" in capsys.readouterr().out


def test_a_time_without_observations_is_a_warning(run, files, tmp_path, capsys):
    text = (files / "obs.csv").read_text().replace("2000-", "2001-")
    (tmp_path / "obs.csv").write_text(text)
    out = tmp_path / "a.nc"
    WeatherAnalyse(run.folder / "models/oi", files / "background.nc", tmp_path / "obs.csv", out, members=2).run()
    said = capsys.readouterr().out
    assert "warning" in said and "0 observations" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("0.01\n", "-1\n"), "error of value"),
        (("value [1],value", "pressure [Pa],pressure"), "not observed here"),
        (("[1]", "[kelvins per fortnight]"), "unit"),
        ((",0,", ",0,9"), "outside the interior"),
        (("S002", "S001"), "two places|second time"),
    ],
)
def test_what_is_wrong_with_observations_is_one_line(run, files, tmp_path, change, said):
    config = run.config
    (tmp_path / "obs.csv").write_text((files / "obs.csv").read_text().replace(*change))
    with pytest.raises(GenkitError, match=said) as error:
        read_network(tmp_path / "obs.csv", config.weather(run), config.climate(run), 0.1)
    assert "\n" not in str(error.value)


def test_a_blacklist_leaves_stations_out(run, files):
    config = run.config
    network, seen = read_network(files / "obs.csv", config.weather(run), config.climate(run), 0.1, ("S003",))
    assert "S003" not in network.names and len(network.names) == 5
    (observed,) = seen.values()
    assert observed.error.tolist() == [0.01] * 5
    with pytest.raises(UsageError, match="no station"):
        read_network(files / "obs.csv", config.weather(run), config.climate(run), 0.1, ("S999",))


def test_a_file_of_other_times_is_refused_and_one_that_fits_is_matched(run, files):
    config = run.config
    data, climate = config.weather(run), config.climate(run)
    network, seen = read_network(files / "obs.csv", data, climate, 0.1)
    rng = np.random.default_rng(0)
    case = Case.matched(rng, network, seen, data, climate, 6, 1, 0.0, 6.0)
    assert case.rows == [3, 4, 5] and list(case.given) == [5]
    late = {t + np.timedelta64(3650, "D"): o for t, o in seen.items()}
    with pytest.raises(DataError, match="no observation at a time"):
        Case.matched(rng, network, late, data, climate, 6, 1, 0.0, 6.0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"members": 1}, "no spread"),
        ({"withheld": 1.0}, "withheld"),
        ({"methods": ()}, "no method"),
        ({"methods": ("kriging",)}, "kriging"),
        ({"departure": 0.0}, "departure"),
    ],
)
def test_options_are_checked(options, said):
    with pytest.raises(UsageError, match=said):
        Assimilation(**options)


def test_presets_name_quantities_of_their_data():
    for preset in ("surface", "nonlinear"):
        for name in Assimilation.preset(preset).stations.quantities:
            quantity(name, ("z_up", "t_mid", "t_sfc", "u_sfc", "v_sfc"), ("u_sfc", "v_sfc"))
