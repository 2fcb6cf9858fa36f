"""`genkit weather-forecast`: the run's own forecast from files alone, and what does not fit is named."""

import re
import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest
import xarray as xr

import genkit
from genkit.cli import main
from genkit.errors import DataError, UsageError
from genkit_weather.data import statistics
from genkit_weather.datasets.qg_host import QGHost
from genkit_weather.datasets.qg_nature import QGNature
from genkit_weather.forecasting.files import read
from genkit_weather.forecasting.inputs import at_times
from genkit_weather.forecasting.parts import Parts, identity
from genkit_weather.gridded import to_xarray
from genkit_weather.models import WeatherModel

TINY = {
    "network.base": 8, "network.multipliers": (1,), "network.blocks": 1, "network.embedding": 32, "sampler.steps": 3,
    "steps": 4, "validate": 4, "starts": 3, "leads": 3, "members": 3, "baselines": (), "long_leads": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory, small_nature):
    """A finished run, its model copied elsewhere, and the files of its second start."""
    folder, config = tmp_path_factory.mktemp("forecasting"), genkit.config("weather.diffusion_lam", "tiny", TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genkit_weather.experiments.summary.report", lambda *_: None)
        run = genkit.run(replace(config, data=small_nature[0]), out=folder / "run")
    data = run.config.weather(run)
    number, start = run.config.chosen(data)[1]
    states = to_xarray(data, data.test[number])
    states.isel(time=slice(start - 1, start + 1)).to_netcdf(folder / "initial.nc")
    states.isel(time=slice(start, start + 4)).to_netcdf(folder / "boundary.nc")
    states.to_netcdf(folder / "truth.nc")
    shutil.copytree(run.folder / "model", folder / "elsewhere")
    return run, folder


def forecast(folder, *more, model="elsewhere", **files):
    """Exit code of the command."""
    names = {"initial": "initial.nc", "boundary": "boundary.nc"} | files
    words = [w for name, file in names.items() for w in (f"--{name}", str(folder / file))]
    out = [] if "--out" in more else ["--out", str(folder / "out.nc")]
    return main(["weather-forecast", str(folder / model), *words, *out, "--leads", "3", "--members", "3", *more])


def test_the_forecast_of_the_run_from_files_alone(made, capsys, monkeypatch):
    run, folder = made
    monkeypatch.setattr(QGNature, "load", None)  # the data of the training are gone
    assert forecast(folder, "--truth", str(folder / "truth.nc")) == 0
    assert "3 members from" in (out := capsys.readouterr().out) and "interpolated" not in out
    assert re.findall(r"│ (\d+) h ", out)[:3] == ["6", "12", "18"] and "RMSE" in out and "CRPS" in out
    with read(folder / "out.nc") as alone, read(run.folder / "forecasts.nc") as own:
        assert alone["z_up"].dims == ("start", "lead", "member", "y", "x")
        own = own.isel(start=[1])
        assert list(alone.coords) == list(own.coords) and (alone.start.values == own.start.values).all()
        for name in own.data_vars:
            np.testing.assert_allclose(alone[name], own[name], rtol=1e-5, atol=1e-5)
    assert forecast(folder, "--chunk", "1", "--out", str(folder / "out.zarr"), model="run") == 0
    with read(folder / "out.zarr") as chunked, read(folder / "out.nc") as alone:
        np.testing.assert_allclose(chunked["t_mid"], alone["t_mid"], rtol=1e-4, atol=1e-5)


def test_only_the_frame_of_the_boundary_is_read(made):
    run, folder = made
    model = genkit.load_model(run.folder)
    with xr.open_dataset(folder / "boundary.nc") as file:
        blind = file.load()
    for name in model.area.names:
        blind[name][:, 4:-4, 4:-4] = np.nan
    blind.to_netcdf(folder / "blind.nc")
    assert forecast(folder) == forecast(folder, "--out", str(folder / "b.nc"), boundary="blind.nc") == 0
    with read(folder / "b.nc") as one, read(folder / "out.nc") as two:
        xr.testing.assert_equal(one.load(), two.load())


def test_warmer_data_do_not_change_a_trained_model(made, tmp_path):
    """8 days 8 K warmer, appended: other statistics and another split, the same forecast."""
    run, _ = made
    data = run.config.weather(run)
    (number, start), days = run.config.chosen(data)[1], 32
    warm = {n: replace(s, state=np.concatenate([s.state, s.state[-days:] + 8]),
                       forcing=np.concatenate([s.forcing, s.forcing[-days:]]),
                       time=np.concatenate([s.time, s.time[-1] + (s.time[1] - s.time[0]) * np.arange(1, days + 1)]))
            for n, s in enumerate(data.test)}  # fmt: skip
    warmer = replace(data, train=tuple(warm.values()), val=data.train, test=tuple(warm.values()))
    assert np.abs(statistics(warmer).mean - statistics(data).mean).max() > 0.5
    outlooks = [run.model.outlook(d, d.test[number], [start], 3) for d in (data, warmer)]
    one, two = (np.concatenate([s for _, s in run.model.forecast(jax.random.key(0), o, 2)], 1) for o in outlooks)
    np.testing.assert_array_equal(one, two)


def test_a_lost_model_leaves_the_forecasts(made, tmp_path, capsys):
    shutil.copytree(made[0].folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "model")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    before = (tmp_path / "run" / "forecasts.nc").read_bytes()
    assert main(["evaluate", str(tmp_path / "run")]) == 1
    assert "trains it again" in capsys.readouterr().err
    assert (tmp_path / "run" / "forecasts.nc").read_bytes() == before


def test_times_rows_and_dimensions_in_any_order(made):
    _, folder = made
    with xr.open_dataset(folder / "boundary.nc") as file:
        file = file.load()
    mixed = xr.concat([file.isel(time=i) for i in (2, 0, 3, 1)], "time", data_vars="all").transpose("x", "time", "y")
    mixed = mixed.isel(y=slice(None, None, -1))
    mixed.to_netcdf(folder / "mixed.nc")
    assert forecast(folder) == forecast(folder, "--out", str(folder / "m.nc"), boundary="mixed.nc") == 0
    with read(folder / "m.nc") as one, read(folder / "out.nc") as two:
        xr.testing.assert_equal(one.load(), two.load())


def test_a_boundary_on_another_grid(made, capsys):
    """A finer host that has each cell of the model too, with fields that the model does not know."""
    _, folder = made
    with xr.open_dataset(folder / "boundary.nc") as file:
        file = file.load()
    fine = {n: np.linspace(*file[n].values[[0, -1]], 2 * file.sizes[n] - 1) for n in ("y", "x")}
    host = file.interp(fine)
    host = host.assign({n: host[n].assign_attrs(file[n].attrs) for n in (*file.data_vars, "y", "x")})
    host["land"] = host["z_up"].isel(time=0, drop=True) * 0
    host["rain"] = host["z_up"].assign_attrs(cell_methods="time: sum")
    host.isel(time=[0, 3]).to_netcdf(folder / "coarse.nc")
    host.to_netcdf(folder / "host.nc")
    assert forecast(folder) == forecast(folder, "--out", str(folder / "h.nc"), boundary="host.nc") == 0
    with read(folder / "h.nc") as one, read(folder / "out.nc") as two:
        for name in two.data_vars:
            np.testing.assert_allclose(one[name], two[name], rtol=1e-4, atol=1e-4)
    coarse = {"boundary": "coarse.nc", "forcing": "boundary.nc"}  # forcing is not interpolated
    capsys.readouterr()
    assert forecast(folder, "--out", str(folder / "h.nc"), **coarse) == 0
    said = "coarse.nc: every 18 h, interpolated to the 6 h of the model; a change within 18 h is not in it\n"
    assert said in capsys.readouterr().out
    with read(folder / "h.nc") as one, read(folder / "out.nc") as two:
        assert np.isfinite(one["z_up"]).all() and not np.allclose(one["z_up"], two["z_up"], atol=1e-4)


def test_the_first_time_that_is_missing_is_named(made):
    run, folder = made
    area, start = run.model.area, np.datetime64("2000-01-01", "s")
    with xr.open_dataset(folder / "boundary.nc") as file:
        coarse = file.load().isel(time=[0, 1, 2]).assign_coords(time=start + np.arange(3) * np.timedelta64(12, "h"))
    when = start + np.arange(8) * np.timedelta64(6, "h")
    with pytest.raises(DataError, match="x lacks 2000-01-02T06:00:00; the forecast needs 2000-01-01T00:00:00 to"):
        at_times(coarse, area, when, "x")
    with pytest.raises(DataError, match="x lacks 2000-01-01T06:00:00; "):
        at_times(coarse, area, when[:4], "x")


def changed(folder, source, name, change):
    """A file with a change."""
    with xr.open_dataset(folder / source) as file:
        change(file.load()).to_netcdf(folder / name)
    return name


@pytest.mark.parametrize(
    "which, change, message",
    [
        ("boundary", lambda f: f.isel(time=slice(0, 3)), "lacks .*; the forecast needs .* to"),
        ("boundary", lambda f: f.drop_vars("t_mid"), "has no variable t_mid; the model needs z_up"),
        ("boundary", lambda f: f.drop_vars("mean_wind"), "forcing mean_wind is in no file at .*--forcing"),
        (
            "initial",
            lambda f: f.isel(time=slice(0, 1)),
            "has the times .*; the model needs two states 21600 ",
        ),
        (
            "initial",
            lambda f: f.assign(t_mid=f.t_mid.assign_attrs(units="degC")),
            "t_mid has the unit 'degC'; .* '1'",
        ),
        ("initial", lambda f: f.isel(x=slice(0, 20)), "has 32 x 20 cells, the model 32 x 32"),
        ("initial", lambda f: f.assign_coords(x=f.x + 50), "lies elsewhere .*: x differs by up to 50"),
        ("initial", lambda f: f.where(f.x > f.x[10]), "z_up is not finite at"),
        ("initial", lambda f: f.drop_vars(["x", "y"]), "does not say where it lies; .* x and y"),
    ],
)
def test_files_that_do_not_fit_are_named_in_one_line(made, which, change, message, capsys):
    folder = made[1]
    name = changed(folder, f"{which}.nc", "changed.nc", change)
    capsys.readouterr()
    out = folder / "none.nc"
    assert forecast(folder, "--out", str(out), **{which: name}) == 1
    error = capsys.readouterr().err
    assert re.search(message, error) and ("changed.nc" in error or "--forcing" in message)
    assert error.count("\n") == 1 and not out.exists() and not list(folder.glob(".*none.nc"))


def test_other_models_and_paths_are_refused(made, tmp_path, capsys):
    _, folder = made
    for words, message in (
        (["--out", "x.grib"], "--out x.grib: expected a file that ends in .nc"),
        (["--leads", "0"], "--leads 0 is too few"),
        (["--names", "t_sfc", "2t"], "--names is for GRIB"),
    ):
        assert forecast(folder, *words) == 2
        assert message in capsys.readouterr().err
    assert forecast(folder, initial="gone.nc") == 1
    assert "gone.nc: no such file" in capsys.readouterr().err
    assert main(["sample", str(folder / "elsewhere")]) == 2
    assert "use `genkit weather-forecast`" in capsys.readouterr().err
    (folder / "kept").mkdir(exist_ok=True)
    (folder / "kept" / "notes.txt").write_text("notes")
    (folder / "kept").rename(folder / "kept.zarr")
    assert forecast(folder, "--out", str(folder / "kept.zarr")) == 1
    assert "kept.zarr is a folder and no zarr store" in capsys.readouterr().err
    assert (folder / "kept.zarr" / "notes.txt").exists()


def test_what_grib_cannot_hold_is_refused_before_the_forecast(made, capsys, monkeypatch):
    pytest.importorskip("eccodes")
    monkeypatch.setattr(WeatherModel, "outlook", lambda *_: pytest.fail("a forecast was begun"))
    out = made[1] / "out.grib2"
    assert forecast(made[1], "--out", str(out), "--names", "fish", "2t") == 2
    assert "--names fish: the model has" in capsys.readouterr().err
    assert forecast(made[1], "--out", str(out)) == 2
    assert "has no latitudes and longitudes, which GRIB needs" in capsys.readouterr().err
    assert not out.exists() and not list(made[1].glob(".*out.grib2*"))


KM = {"starts": 2, "leads": 2, "long_leads": 0, "baselines": (), "window.encoding": 4}


@pytest.mark.usefixtures("no_pictures")
def test_a_second_data_set_as_the_boundary(tmp_path, small_nature):
    def config(**options):
        of = genkit.config("weather.km_lam", "tiny", {**KM, **options})
        return replace(of, data=small_nature[0], host=QGHost(small_nature[0]))

    options = {
        "network": "graph_lam", "network.mesh.kind": "rect_flat", "network.mesh.distance": 2000.0,
        "network.width": 6, "network.layers": 1, "stages": ((1, 2),), "validate": 2, "batch": 2,
    }  # fmt: skip
    run = genkit.run(config(**options), out=tmp_path / "run")
    data = run.config.weather(run)
    number, start = run.config.chosen(data)[1]
    states = to_xarray(data, data.test[number])
    states.isel(time=slice(start - 1, start + 1)).to_netcdf(tmp_path / "initial.nc")
    states[list(data.forcing_names)].isel(time=slice(start - 1, start + 3)).to_netcdf(tmp_path / "forcing.nc")
    host = data.around.data
    other = next(s for s in host.test if s.time[0] <= data.test[number].time[start])
    to_xarray(host, other).to_netcdf(tmp_path / "boundary.nc")
    words = [w for name in ("initial", "boundary", "forcing") for w in (f"--{name}", str(tmp_path / f"{name}.nc"))]
    out = tmp_path / "out.nc"
    assert main(["weather-forecast", str(run.folder), *words, "--leads", "2", "--members", "1", "--out", str(out)]) == 0
    with read(out) as alone, read(run.folder / "forecasts.nc") as own:
        for name in own.data_vars:
            np.testing.assert_allclose(alone[name], own.isel(start=[1])[name], rtol=1e-5, atol=1e-5)
    # the second data set is seen as it was in training, whatever its statistics are now
    warmer = replace(host, train=tuple(replace(s, state=s.state + 8) for s in host.train))
    again = replace(data, around=replace(data.around, data=warmer, mean=data.around.mean + 8))
    for one, two in zip(*(jax.tree.leaves(run.model.outlook(d, d.test[number], [start], 2)) for d in (data, again)),
                        strict=True):  # fmt: skip
        np.testing.assert_array_equal(one, two)
    with pytest.raises(UsageError, match="was trained with HostWindow.*past=1"):
        genkit.run(config(model=run.folder, **{"window.past": 0}), out=tmp_path / "w")


def test_a_killed_forecast_goes_on_with_the_members_that_are_missing(made, capsys, monkeypatch):
    _, folder = made
    out, words = folder / "killed.nc", ("--out", str(folder / "killed.nc"), "--chunk", "1")
    own, made_of = WeatherModel.forecast, []

    def dying(model, *args, first=0, **kwargs):
        made_of.append(first)
        for i, piece in enumerate(own(model, *args, first=first, **kwargs)):
            if (first, i) == (1, 1):
                raise KeyboardInterrupt
            yield piece

    monkeypatch.setattr(WeatherModel, "forecast", dying)
    assert forecast(folder, *words) == 130
    assert not out.exists() and made_of == [0, 1]
    assert sorted(p.name for p in (folder / ".killed.nc.parts").iterdir()) == ["forecast.json", "members_00000.npy"]
    monkeypatch.setattr(WeatherModel, "forecast", lambda *a, **k: (made_of.append(k["first"]), own(*a, **k))[1])
    assert forecast(folder, *words) == 0 and made_of == [0, 1, 1, 2]
    assert "1 of 3 parts are there already" in capsys.readouterr().out
    assert not (folder / ".killed.nc.parts").exists() and not list(folder.glob(".*killed.nc"))
    assert forecast(folder) == 0
    with read(out) as one, read(folder / "out.nc") as two:
        for name in one.data_vars:
            np.testing.assert_allclose(one[name], two[name], rtol=1e-4, atol=1e-5)


def test_parts_of_another_forecast_are_not_taken(tmp_path):
    def draw(first, count):
        yield range(1, 3), np.full((1, 2, count, 1, 1, 1), first, np.float32)

    parts = Parts(tmp_path / "f.nc", "this", (2, 3, 1, 1, 1), 2)
    assert parts.missing == [0, 2] and list(parts.make(2, draw)) == [range(1, 3)]
    assert Parts(tmp_path / "f.nc", "this", (2, 3, 1, 1, 1), 2).missing == [0]
    assert Parts(tmp_path / "f.nc", "that", (2, 3, 1, 1, 1), 2).missing == [0, 2]
    for more in (4, 2):  # members: what is kept has another size
        assert Parts(tmp_path / "f.nc", "that", (2, more, 1, 1, 1), 2).missing == list(range(0, more, 2))
    assert identity(np.ones(3), "x", 1) == identity(np.ones(3), "x", 1) != identity(np.ones(3), "y", 1)
