"""`genkit weather-analyse`, and files of observations: what they give, and what is refused in one line."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import xarray as xr

from genkit.cli import main
from genkit.diffusion import Heun
from genkit.errors import DataError, UsageError
from genkit_weather.assimilation import Folds
from genkit_weather.cycling import Case, read_network
from genkit_weather.gridded import to_xarray
from genkit_weather.models import OIDiffusion, Snapshot
from genkit_weather.models.state import TINY, StateRecipe

ROW = 5  # of the test series


@pytest.fixture(scope="module")
def made(small_nature, tmp_path_factory):
    """Data, the climate, and a folder with two models that have learned nothing, a background and observations."""
    data, folder = small_nature[1], tmp_path_factory.mktemp("analyse")
    folds = Folds.of(data)
    run, common = SimpleNamespace(seed=0, key=lambda name: jax.random.key(0)), {"network": TINY, "sampler": Heun(2)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StateRecipe, "learn", lambda self, run, name, loss, params, *_: params)
        oi = OIDiffusion(examples=4, **common).fit(run, folds)
        oi.save(folder / "oi")
        Snapshot(**common).fit(run, folds).save(folder / "prior")
    states = to_xarray(data, data.test[0]).isel(time=[ROW])
    states.to_netcdf(folder / "background.nc")
    members = xr.concat([states, states * 0.9, states * 1.1], "member")
    members.to_netcdf(folder / "frames.nc")
    inside = xr.DataArray(~data.frame_mask, dims=("y", "x"))
    members = members.assign({name: members[name].where(inside, states[name]) for name in data.names})
    members.to_netcdf(folder / "members.nc")
    lines = ["station,time,y,x,t_sfc [1],t_sfc error"]
    for number, (i, j) in enumerate([(6, 6), (10, 20), (15, 12), (20, 25), (25, 8), (26, 26)]):
        here = states.isel(time=0, y=i, x=j)
        value = float(here["t_sfc"]) + 0.1
        lines.append(f"S{number},{data.test[0].time[ROW]},{float(here['y'])},{float(here['x'])},{value:.4f},0.01")
    (folder / "obs.csv").write_text("\n".join(lines) + "\n")
    return data, oi.climate, folder


def analyse(folder, *more, model="oi", background="background.nc", observations="obs.csv", out="out.nc"):
    """Exit code of the command."""
    files = {"background": background, "observations": observations, "out": out}
    words = [w for name, file in files.items() for w in (f"--{name}", str(folder / file))]
    return main(["weather-analyse", str(folder / model), *words, *more])


@pytest.mark.parametrize(("model", "background", "count"), [("oi", "background.nc", 4), ("prior", "members.nc", 3)])
def test_an_analysis_from_files(made, model, background, count, capsys):
    data, _, folder = made
    assert analyse(folder, "--members", "4", model=model, background=background) == 0
    assert f"{count} members at" in (said := capsys.readouterr().out) and "6 observations" in said
    with xr.open_dataset(folder / "out.nc", decode_timedelta=False) as file:
        whole = np.stack([file[n].values for n in data.names], -1)[0, 0]
    assert whole.shape == (count, 32, 32, 5)
    truth = data.test[0].state[ROW]
    assert np.allclose(whole[:, data.frame_mask], truth[data.frame_mask], atol=1e-4)
    assert np.isfinite(whole).all() and whole[:, 4:-4, 4:-4].std(0).min() > 0


def test_a_time_without_observations_is_a_warning(made, capsys):
    folder = made[2]
    (folder / "late.csv").write_text((folder / "obs.csv").read_text().replace("2000-", "2001-"))
    assert analyse(folder, observations="late.csv") == 0
    said = capsys.readouterr().out
    assert "warning" in said and "0 observations" in said


def test_a_gross_error_is_left_out_and_counted(made, capsys):
    folder = made[2]
    lines = (folder / "obs.csv").read_text().splitlines()
    head, value = lines[1].rsplit(",", 2)[0], float(lines[1].split(",")[4])
    (folder / "gross.csv").write_text("\n".join([lines[0], f"{head},{value + 50},0.01", *lines[2:]]) + "\n")
    assert analyse(folder, observations="gross.csv") == 0
    assert "5 observations, 1 left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("0.01\n", "-1\n"), "error of t_sfc"),
        (("0.01\n", "\n"), "error of t_sfc .* is missing"),
        (("t_sfc [1],t_sfc", "pressure [Pa],pressure"), "not observed here"),
        (("[1]", "[kelvins per fortnight]"), "unit"),
        (("S0,", "S1,"), "two places|second time"),
        (("\nS1", "\nS1,2000-"), "time|fields"),
    ],
)
def test_what_is_wrong_with_observations_is_one_line(made, change, said):
    data, climate, folder = made
    (folder / "wrong.csv").write_text((folder / "obs.csv").read_text().replace(*change))
    with pytest.raises(DataError, match=said) as error:
        read_network(folder / "wrong.csv", data, climate, 0.1)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"background": "none.nc"}, "none.nc"),
        ({"background": "frames.nc", "model": "prior"}, "differ in the frame"),
        ({"background": "obs.csv"}, "obs.csv"),
        ({"observations": "none.csv"}, "none.csv"),
        ({"model": "nowhere"}, "nowhere"),
        ({"out": "out.txt"}, "out.txt"),
        (("--time", "noon"), "noon"),
        (("--time", "1999-01-01"), "1999"),
        (("--blacklist", "S9"), "S9"),
        (("--members", "0"), "members"),
    ],
)
def test_what_is_wrong_with_the_command_is_one_line(made, more, said, capsys):
    options, words = ({}, more) if isinstance(more, tuple) else (more, ())
    assert analyse(made[2], *words, **options) in (1, 2)
    printed = capsys.readouterr()
    lines = [line for line in (printed.out + printed.err).splitlines() if line.strip()]
    assert said in " ".join(lines) and "Traceback" not in printed.err and len(lines) <= 3, lines


def test_a_blacklist_leaves_stations_out(made):
    data, climate, folder = made
    network, seen = read_network(folder / "obs.csv", data, climate, 0.1, ("S3",))
    assert "S3" not in network.names and len(network.names) == 5
    (observed,) = seen.values()
    assert observed.error.tolist() == [0.01] * 5
    with pytest.raises(UsageError, match="no station"):
        read_network(folder / "obs.csv", data, climate, 0.1, ("S9",))


def test_a_file_of_other_times_is_refused_and_one_that_fits_is_matched(made):
    data, climate, folder = made
    network, seen = read_network(folder / "obs.csv", data, climate, 0.1)
    rng = np.random.default_rng(0)
    case = Case.matched(rng, network, seen, data, climate, 6, 1, 0.0, 6.0)
    assert case.rows == [3, 4, 5] and list(case.given) == [5]
    late = {t + np.timedelta64(3650, "D"): o for t, o in seen.items()}
    with pytest.raises(DataError, match="no observation at a time"):
        Case.matched(rng, network, late, data, climate, 6, 1, 0.0, 6.0)


def test_a_station_outside_the_interior_is_named(made):
    data, climate, folder = made
    states = to_xarray(data, replace(data.test[0], state=data.test[0].state))
    far = f"S0,{data.test[0].time[ROW]},{float(states['y'][1])},{float(states['x'][9])},0.1,0.01"
    lines = (folder / "obs.csv").read_text().splitlines()
    (folder / "far.csv").write_text("\n".join([lines[0], far, *lines[2:]]) + "\n")
    with pytest.raises(DataError, match="S0 outside the interior"):
        read_network(folder / "far.csv", data, climate, 0.1)
