"""The studies, small, and what their models are asked for; steering towards a composition."""

import csv
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.calculators.lj import LennardJones

import genkit
from genkit.cli.evaluate import Evaluate
from genkit.cli.sample import Sample
from genkit.errors import UsageError
from genkit.testing import check_plugin
from genkit_crystals.chains.guidance import Property
from genkit_crystals.chains.layout import encode, layout
from genkit_crystals.chains.steering import LookAhead, goal
from genkit_crystals.models.request import Draw
from genkit_crystals.models.trained import CrystalModel
from genkit_crystals.protostructures.protostructure import Protostructure
from genkit_crystals.protostructures.wyckoff import symbols
from genkit_crystals.stability.candidates import read_candidates

SALT, STRONTIUM_TITANATE = "AB_cF8_225_a_b:Cl-Na", "A3BC_cP5_221_c_a_b:O-Sr-Ti"


def test_the_plugin():
    check_plugin("crystals")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A run of crystals.wyckoffdiff."""
    return genkit.run(genkit.config("crystals.wyckoffdiff", "tiny", {}), out=tmp_path_factory.mktemp("runs") / "plain")


@pytest.fixture(scope="module")
def guided(plain, tmp_path_factory):
    """A run of crystals.property_guidance on the model and the encoder of the other one."""
    options = {"generator": str(plain.folder), "encoder": str(plain.folder / "models" / "encoder"), "realise": 0,
               "particles": 2, "wanted": "atoms", "below": True, "quantile": 0.3}  # fmt: skip
    config = genkit.config("crystals.property_guidance", "tiny", options)
    return genkit.run(config, out=tmp_path_factory.mktemp("runs") / "guided")


def rows(file):
    with Path(file).open(newline="") as opened:
        return list(csv.DictReader(opened))


def sampled(*words):
    Sample.parse([str(word) for word in words]).run()


def test_wyckoffdiff(plain):
    results, folder = plain.results, plain.folder
    for name in ("model", "table", "templates", "marginal", "floor"):
        assert results[f"fwd/{name}"] >= 0 and results[f"fd/{name}"] >= 0
    assert results["fd/floor"] < results["fd/templates"] < results["fd/marginal"]
    assert 0 < results["validity"] <= 1 and 0 <= results["novelty/label"] <= 1
    assert results["novelty/prototype/templates"] == 0 and results["ce/relative"] < 1.5
    labels = rows(folder / "labels.csv")
    assert len(labels) == round(40 * results["validity"])
    assert all(Protostructure.from_label(r["protostructure"]).atoms == int(r["n_atoms"]) for r in labels)
    assert len(json.loads((folder / "orbits.json").read_text())) == len(labels)
    files = list((folder / "cif").glob("*.cif"))
    assert len(files) == round(3 * results["realised/label_match"])
    assert set(plain.figures) >= {"distances", "distributions", "elements"}
    again = [one for one in plain.sample(jax.random.key(3), 40) if one]
    assert again and all(Protostructure.from_label(one).label == one for one in again)


def lennard_jones():
    """A calculator of all elements."""
    return LennardJones(sigma=2.4, epsilon=0.1, rc=6.0)


def test_evaluate_with_a_hull(plain, tmp_path):
    """What the results say is what the table of structures says; a run that fails stays as it was."""
    folder, file = shutil.copytree(plain.folder, tmp_path / "run"), tmp_path / "hull.csv"
    own = f"{__name__}:lennard_jones"
    phases = [f"{symbol},0,{own}\n" for symbol in symbols()[1:100] if symbol != "O"]
    file.write_text("formula,energy_per_atom,calculator\n" + "".join(phases))
    with pytest.raises(UsageError, match="no energies to compare with"):
        evaluated(folder, "--hull", file)
    with pytest.raises(UsageError, match="--samples cannot change"):
        evaluated(folder, "--samples", 20)
    assert genkit.load(folder).config.hull is None
    evaluated(folder, "--hull", file, "--realise", 4, "--realiser.calculator", own, "--realiser.draws", 20)
    with pytest.raises(UsageError, match="runs code of its own .*--trust"):
        genkit.load(folder)
    run = genkit.load(folder, trust=True)
    results, found = run.results, read_candidates(folder / "structures.csv")
    assert len(found) == 4 and run.config.hull == file and any(one.file for one in found)
    assert results["realised/made"] == np.mean([bool(one.file) for one in found])
    for limit in ("0", "0.08", "0.1"):
        assert 0 <= results[f"sun/{limit}"] <= results[f"stable/{limit}"] <= results["realised/converged"]
    energies = [one.e_hull for one in found if one.e_hull == one.e_hull]
    assert results["e_hull/median"] == (pytest.approx(np.median(energies)) if energies else None)
    for one in found:  # the elements lie at 0, but there is no oxygen
        if one.relaxed:
            assert one.e_hull == pytest.approx(one.energy_per_atom) or "the hull has no phase of O" in one.reason
    page = (folder / "report.html").read_text()
    for one in found:
        assert (f"<a href='{one.file}'>" in page and (folder / one.file).is_file()) if one.file else one.reason
    assert set(run.figures) >= {"cells", "elements"}


def evaluated(*words):
    Evaluate.parse([str(word) for word in words]).run()


def test_guidance(guided):
    for name in ("model", "discriminator", "classifier", "both"):
        assert 0 <= guided.results[f"yes/{name}"] <= 1 and guided.results[f"crystals_per_second/{name}"] > 0
    assert guided.results["yes/floor"] < 0.5 and set(guided.figures) >= {"wanted", "distances"}
    labels = json.loads((guided.folder / "samples.json").read_text())["labels"]
    found = [r["protostructure"] for r in rows(guided.folder / "labels.csv")]
    assert found == [one for one in labels["both"] if one]
    assert (guided.folder / "checkpoints" / "classifier" / "best").exists()
    # restored, not trained: the generator and the encoder; the classifier knows how rare yes is
    assert not (guided.folder / "checkpoints" / "denoiser").exists()
    wanted = guided.model.wanted
    assert guided.results["threshold"] == wanted.high and wanted.low == -np.inf
    train = guided.config.crystals(guided)[0].crystals
    share = np.mean([c.atoms < wanted.high for c in train])
    assert np.exp(guided.model.classifier.prior) == pytest.approx(share / (1 - share))


def test_a_corrected_model_is_used_again(guided, tmp_path):
    options = {"model": str(guided.folder), "realise": 0, "encoder": "none", "particles": 2}
    run = genkit.run(genkit.config("crystals.discriminator_guidance", "tiny", options), out=tmp_path / "run")
    before = json.loads((guided.folder / "samples.json").read_text())["labels"]
    labels = json.loads((run.folder / "samples.json").read_text())["labels"]
    assert all(labels[name] == before[name] for name in ("model", "discriminator", "table"))
    assert run.results["fd/discriminator"] == guided.results["fd/discriminator"]
    assert "fwd/model" not in run.results and not (run.folder / "checkpoints").exists()


def test_space_groups(plain, tmp_path, monkeypatch):
    options = {"model": str(plain.folder), "samples": 24, "realise": 0}
    run = genkit.run(genkit.config("crystals.space_group_conditional", "tiny", options), out=tmp_path / "run")
    assert run.results["train/62"] > 2 and run.results["validity/table/62"] > 0.9
    found = [Protostructure.from_label(r["protostructure"]) for r in rows(run.folder / "labels.csv")]
    assert len(found) == 12 * (run.results["validity/model/62"] + run.results["validity/model/198"])
    asked = []  # a draw of the run is of the groups of the study
    drawn = CrystalModel.require
    monkeypatch.setattr(CrystalModel, "require", lambda self, groups: (asked.extend(groups), drawn(self, groups))[1])
    assert len(run.sample(run.key("more"), 6)) == 6 and asked == [62, 198] * 3


def test_crystals_on_demand_from_a_copied_model(guided, tmp_path):
    """Structures to a folder, labels to a table and an array, of a model without its run."""
    model = shutil.copytree(guided.folder / "model", tmp_path / "model")
    alone = ("--method", "alone", "--n", 4)
    sampled(model, *alone, "--elements", "O", "Ti", "Na", "--out", tmp_path / "cifs")
    table = rows(tmp_path / "cifs" / "samples.csv")
    assert len(table) == 4 and all(bool(r["file"]) != bool(r["reason"]) for r in table)
    assert {r["file"] for r in table if r["file"]} == {f.name for f in (tmp_path / "cifs").glob("*.cif")}
    made = [Protostructure.from_label(r["label"]) for r in table if r["label"]]
    assert made and {z for c in made for z in c.composition} <= {8, 11, 22}
    for row, crystal in zip([r for r in table if r["label"]], made, strict=True):
        assert (int(row["group"]), row["formula"], int(row["atoms"]), row["log_w"]) == (
            crystal.group, crystal.chemical_formula, crystal.atoms, "")  # fmt: skip
    sampled(model, *alone, "--elements", "O", "Ti", "Na", "--out", tmp_path / "same.csv")
    assert [r["label"] for r in rows(tmp_path / "same.csv")] == [r["label"] for r in table]
    with pytest.raises(UsageError, match="not an empty folder"):
        sampled(model, *alone, "--out", tmp_path / "cifs")
    with pytest.raises(UsageError, match="a file that ends in .csv or .npz, or a folder"):
        sampled(model, *alone, "--out", tmp_path / "labels.xyz")


def test_particles_compete_for_a_formula_given_sites_and_a_property(guided, tmp_path):
    """Crystals that are not as asked are told, with weight 0; labels are text."""
    wanted, asked = str(guided.model.wanted), {"group": 62, "formula": "PbO", "sites": ("c=O", "b=0")}
    words = ("--group", 62, "--formula", "PbO", "--sites", "c=O", "b=0", "--property", wanted, "--particles", 32)
    sampled(guided.folder, "--n", 6, *words, "--out", tmp_path / "few.npz")
    with np.load(tmp_path / "few.npz", allow_pickle=False) as file:
        labels, log_w = file["samples"], file["log_w"]
    assert labels.dtype.kind == "U" and ((labels == "") == (log_w == -np.inf)).all()
    found = [Protostructure.from_label(one) for one in labels if one]
    # a network of twenty steps of training finds few
    assert found and all(Draw(**asked).goal.reached(c) for c in found)
    same = [{(row, z): n for row, z, n in c.orbits} for c in found if c.group == 62]
    assert same and all(o[2, 8] == 1 and not any(row == 1 for row, _ in o) for o in same)
    with pytest.raises(UsageError, match="knows at most"):
        guided.model.sample(jax.random.key(0), 1, group=62, sites=("d=9Ti",))


@pytest.mark.parametrize(
    ("options", "says"),
    [({"group": 7}, "group=7, P1c1: no training crystal .* of its crystal system there are 3, 4"),
     ({"method": "discriminator"}, "run crystals.discriminator_guidance --generator"),
     ({"property": "atoms=2..9"}, "crystals.property_guidance --generator .* --wanted atoms=2..9"),
     ({"property": "atoms=2..", "method": "alone"}, "does not steer"), ({"property": "atoms=9..2"}, "nothing lies"),
     ({"property": "colour=1.."}, "known: electronegativity"), ({"property": "atoms"}, "NAME=LOW..HIGH"),
     ({"strides": 0}, "strides=0"), ({"strength": 0.0}, "strength=0")],
)  # fmt: skip
def test_wrong_requests(plain, options, says):
    with pytest.raises(UsageError, match=says):
        plain.model.sample(jax.random.key(0), 2, **options)


def test_another_property_is_refused_with_what_to_run(guided):
    with pytest.raises(UsageError, match=r"knows atoms=\.\.\d+ alone; .* --wanted atoms=4\.\.5"):
        guided.model.sample(jax.random.key(0), 2, property="atoms=4..5")


def test_a_property_is_read_as_it_is_written():
    assert Property.of("energy=..-1.5") == Property("energy", high=-1.5)
    assert Property.of("electronegativity=0.6..1.25") == Property("electronegativity", 0.6, 1.25)
    assert str(Property.of("atoms=4..")) == "atoms=4.." and Property.of("atoms=4..").ends == [4.0]
    assert list(Property("atoms", 2, 5).yes(np.array([2, 3, 5]))) == [False, True, False]
    assert list(Property("species").measure([Protostructure.from_label(SALT)], None)) == [2]


def test_the_potential_knows_the_atoms_to_come():
    crystals = [Protostructure.from_label(label) for label in (SALT, STRONTIUM_TITANATE)]
    group = np.array([c.group for c in crystals])
    slots = layout(group)
    data = encode(crystals, slots)
    classes = int(data.x1.max()) + 2
    x = tuple(jnp.asarray(a.astype(int)) for a in (data.x0, data.x1))
    exactly = tuple(
        np.where(np.asarray(a)[..., None] == np.arange(k), 0.0, -np.inf) for a, k in zip(x, (101, classes), strict=True)
    )
    potential = LookAhead(goal("SrTiO3", 20), slots, group)
    amounts = jax.jit(potential.amounts)
    mean, variance = amounts(exactly)
    assert (variance == 0).all()
    assert [{int(z) + 1: int(n) for z, n in enumerate(m) if n} for m in mean] == [c.composition for c in crystals]
    # an empty or a chlorine atom on every row without freedom: multiplicities 4, 4, 8, 24 of group 225
    half = np.where(np.isin(np.arange(101), [0, 17]), np.log(0.5), -np.inf)
    none = np.where(np.arange(classes) == 0, 0.0, -np.inf)
    mean, variance = amounts(tuple(np.broadcast_to(law, e.shape) for law, e in zip((half, none), exactly, strict=True)))
    np.testing.assert_allclose((mean[0, 16], variance[0, 16]), (20, (16 + 16 + 64 + 576) / 4), rtol=1e-6)
    reached = [goal("SrTiO3").reached(c) for c in (*crystals, None)]
    assert reached == [False, True, False] and goal("Sr2Ti2O6").reached(crystals[1])
    assert not goal(atoms=4).reached(crystals[1]) and goal(atoms=5).reached(crystals[1])
    p = SimpleNamespace(x=x, logits=tuple(map(jnp.asarray, exactly)))
    at = jax.jit(lambda t: potential(p, SimpleNamespace(t=t)))
    soft = at(1.0)
    assert soft[1] > -1 > soft[0]
    assert list(at(0.0)) == [-np.inf, 0.0]


@pytest.mark.parametrize(
    ("options", "says"),
    [({"group": 231}, "group=231"), ({"widths": (12, 6)}, "must rise"), ({"elements": ("Xx",)}, "called Xx"),
     ({"samples": 1}, "samples=1"), ({"formula": "SrTiOx"}, "no chemical formula"), ({"atoms": 0}, "atoms=0"),
     ({"formula": "NaCl", "elements": ("Na",)}, "exclude"), ({"sites": ("a=Na",)}, "say which by group"),
     ({"group": 221, "sites": ("z=Na",)}, "positions a to n"), ({"group": 221, "sites": ("a=2Na",)}, "one orbit"),
     ({"group": 221, "sites": ("a=Na", "a=0")}, "given twice"), ({"group": 221, "sites": ("a",)}, "letter=element"),
     ({"group": 221, "sites": ("a=Xx",)}, "called Xx"),
     ({"group": 221, "sites": ("a=Ti",), "elements": ("Na",)}, "Ti is not among")],
)  # fmt: skip
def test_wrong_options(options, says):
    with pytest.raises(UsageError, match=says):
        genkit.config("crystals.wyckoffdiff", "tiny", options)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"wanted": "colour"}, "energy"), ({"quantile": 1.0}, "quantile=1"), ({"generated": 3}, "generated=3"),
     ({"wanted": "energy"}, "--data mp20"), ({"threshold": 1e9}, "0.0% of the training crystals")],
)  # fmt: skip
def test_wrong_guidance(options, says, tmp_path):
    with pytest.raises(UsageError, match=says):
        genkit.run(genkit.config("crystals.property_guidance", "tiny", options), out=tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "says"), [({"group": 62, "sites": ("d=9Ti",)}, "knows at most"), ({"group": 7}, "group=7, P1c1")]
)
def test_what_cannot_be_drawn_is_refused_before_training(options, says, tmp_path):
    with pytest.raises(UsageError, match=says):
        genkit.run(genkit.config("crystals.wyckoffdiff", "tiny", options), out=tmp_path / "run")
