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
from genkit.errors import GenkitError, UsageError
from genkit.testing import check_plugin
from genkit_crystals.chains.diffusion import process
from genkit_crystals.chains.frequencies import Frequencies
from genkit_crystals.chains.guidance import Answers, Known, Property, binned, bins_loss, edges_of, values_of
from genkit_crystals.chains.layout import encode, layout
from genkit_crystals.chains.steering import LookAhead, goal
from genkit_crystals.data import Crystals
from genkit_crystals.datasets import AflowPrototypes, LabelsCSV
from genkit_crystals.models.critics import Steered
from genkit_crystals.models.request import Draw
from genkit_crystals.models.trained import CrystalModel
from genkit_crystals.protostructures.elements import symbols
from genkit_crystals.protostructures.protostructure import Protostructure
from genkit_crystals.protostructures.wyckoff import tables
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
    assert results["hull/left_out"] == 0 and results["realised/made"] == np.mean([bool(one.file) for one in found])
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
        assert 0 < guided.results[f"said/{name}"] < 1
    assert guided.results["yes/floor"] < 0.5 and set(guided.figures) >= {"wanted", "distances"}
    labels = json.loads((guided.folder / "samples.json").read_text())["labels"]
    found = [r["protostructure"] for r in rows(guided.folder / "labels.csv")]
    assert found == [one for one in labels["both"] if one]
    assert (guided.folder / "checkpoints" / "classifier" / "best").exists()
    # restored, not trained: the generator and the encoder
    assert not (guided.folder / "checkpoints" / "denoiser").exists()
    train = guided.config.crystals(guided)[0].crystals
    known, atoms = guided.model.classifier, np.sort([c.atoms for c in train])
    assert known.name == "atoms" and guided.results["threshold"] == np.quantile(atoms, 0.3)
    np.testing.assert_array_equal(known.values, atoms)


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
    drawn = CrystalModel.extended
    monkeypatch.setattr(CrystalModel, "extended", lambda self, groups: (asked.extend(groups), drawn(self, groups))[1])
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
    wanted, asked = "atoms=..21", {"group": 62, "formula": "PbO", "sites": ("c=O", "b=0")}
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


def test_groups_that_no_training_crystal_has_are_drawn_by_the_table(plain):
    """Of an unknown group the model knows its rows, and of each what is known of rows alike."""
    model, t = plain.model, tables()
    new = int(np.setdiff1d(np.arange(3, 16), model.known)[0])
    more = model.extended(np.array([new]))
    assert model.extended(model.known[:2]) is model
    own = [g for g in model.known if 3 <= g <= 15]
    found, before = (m.params["context"]["group"]["embedding"] for m in (more, model))
    np.testing.assert_allclose(found[new], np.asarray(before)[own].mean(0), rtol=1e-5)
    np.testing.assert_array_equal(found[model.known], np.asarray(before)[model.known])
    row = int(t.rows[new]) - 1  # the general position
    alike = (t.dof == 3) & (t.multiplicity == t.multiplicity[new, row]) & (np.asarray(model.groups)[:, None] > 0)
    weight = alike * np.asarray(model.groups)[:, None]
    assert weight.any()
    expected = np.tensordot(weight / weight.sum(), np.exp(np.asarray(model.prior[1])), 2)
    np.testing.assert_allclose(np.exp(more.prior[1][new, row]), expected, rtol=1e-4)
    np.testing.assert_allclose(np.exp(more.prior[1][new, row]).sum(-1), 1, rtol=1e-4)
    labels = [one for one in model.sample(jax.random.key(0), 6, group=new) if one]
    assert labels and all(Protostructure.from_label(one).group not in (1, 2) for one in labels)


def test_groups_of_a_crystal_system_are_as_frequent_as_in_training():
    counts = np.zeros(231)
    counts[[3, 14, 225]] = 1, 3, 9
    found = Draw(system="monoclinic").groups_of(counts, 4000, 0)
    assert set(found) == {3, 14} and abs((found == 14).mean() - 0.75) < 4 * (0.75 * 0.25 / 4000) ** 0.5
    assert set(Draw(system="triclinic").groups_of(counts, 100, 0)) == {1, 2}  # none known: all of them
    assert set(Draw(group=7).groups_of(counts, 5, 0)) == {7} and 225 in Draw().groups_of(counts, 100, 0)
    assert set(Draw(system="cubic").groups_of(counts, 5, 0)) == {225}


@pytest.mark.parametrize(
    ("options", "says"),
    [({"group": 7, "system": "cubic"}, "exclude one another"),
     ({"method": "discriminator"}, "run crystals.discriminator_guidance --generator"),
     ({"property": "atoms=2..9"}, "crystals.property_guidance --generator .* --wanted atoms"),
     ({"property": "atoms=2..", "method": "alone"}, "does not steer"), ({"property": "atoms=9..2"}, "nothing lies"),
     ({"property": "colour=1.."}, "knows no property; .* --wanted colour"), ({"property": "atoms"}, "NAME=LOW..HIGH"),
     ({"property": "atoms=.."}, "is all values"),
     ({"strides": 0}, "strides=0"), ({"strength": 0.0}, "strength=0")],
)  # fmt: skip
def test_wrong_requests(plain, options, says):
    with pytest.raises(UsageError, match=says):
        plain.model.sample(jax.random.key(0), 2, **options)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"property": "species=1.."}, "knows atoms alone; .* --wanted species"),
     ({"property": "atoms=1e6.."}, "no training crystal has such a value; they have"),
     ({"method": "both"}, "say which values, property=atoms=LOW..HIGH")],
)  # fmt: skip
def test_values_that_are_not_known_are_refused(guided, options, says):
    with pytest.raises(UsageError, match=says):
        guided.model.sample(jax.random.key(0), 2, **options)


def test_a_property_is_read_as_it_is_written():
    assert Property.of("energy=..-1.5") == Property("energy", high=-1.5)
    assert Property.of("band gap=0.6..1.25") == Property("band gap", 0.6, 1.25)
    assert str(Property.of("atoms=4..")) == "atoms=4.." and Property.of("atoms=4..").ends == [4.0]
    assert Property.of(Property("x", 1 / 3).text) == Property("x", 1 / 3)
    assert list(Property("atoms", 2, 5).yes(np.array([2, 3, 5]))) == [False, True, False]


def test_bins_have_equally_many_crystals_and_an_interval_its_share_of_each():
    values = np.arange(1.0, 13)
    edges = edges_of(values, 4)
    np.testing.assert_array_equal(np.bincount(binned(values, edges)), [3, 3, 3, 3])
    few = np.array([1, 1, 1, 1, 2, 3.0])  # equal values are in one bin, and no bin is empty
    np.testing.assert_array_equal(np.bincount(binned(few, edges_of(few, 6))), [4, 1, 1])
    assert not len(edges_of(np.ones(5), 4))
    logits = np.log([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]]) + 5
    known = Known("x", lambda x, t, cond: jnp.asarray(logits), edges, values)
    # 5 to 8 of 12: of the second bin 5 and 6, of the third 7 and 8
    log_p = known.within(Property("x", 4.5, 8.5))(None, 0.0)
    np.testing.assert_allclose(np.exp(log_p), [(0.2 * 2 + 0.3 * 2) / 3, (0.3 * 2 + 0.2 * 2) / 3], rtol=1e-5)
    np.testing.assert_allclose(known.within(None)(None, 0.0), 0, atol=1e-6)
    assert Property.beyond("x", values, 0.5, True) == Property("x", high=6.5)
    half = np.repeat([2.0, 3.0], 4)  # beyond the quantile is nothing: the highest, or lowest, of two values
    for quantile, below, found in ((0.75, False, 3), (0.25, True, 2), (0.25, False, 3), (0.75, True, 2)):
        assert set(half[Property.beyond("x", half, quantile, below).among(half)]) == {found}


def test_the_loss_of_bins_is_their_cross_entropy():
    logits, bins = jax.random.normal(jax.random.key(0), (2, 5)), np.array([3, 0])
    crystals = [Protostructure.from_label(label) for label in (SALT, STRONTIUM_TITANATE)]
    slots = layout(c.group for c in crystals)
    batch = encode(crystals, slots, 3)[:] | {"bin": bins}
    answers = Answers(lambda params, x, slots, group, time: params, logits, slots)
    processes = process("zeros", 4, Frequencies(np.ones(101) / 101, np.ones(3) / 3))
    loss = jax.jit(lambda key: bins_loss(key, answers, batch, processes))(jax.random.key(1))
    expected = -jax.nn.log_softmax(logits)[np.arange(2), bins].mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_numbers_of_ones_own_are_a_target(tmp_path):
    """A column of the data, with missing values; what the model will not know is refused before training."""
    file, crystals = tmp_path / "mine.csv", AflowPrototypes.preset("tiny").load().crystals[:40]
    lines = [f"{c.label},{c.atoms / 10 if i % 4 else ''}" for i, c in enumerate(crystals)]
    file.write_text("\n".join(["protostructure,band gap", *lines]))
    data = LabelsCSV(file, "band gap").load()
    assert Steered().knows(data) == "band gap" and Steered(wanted="atoms").knows(data) == "atoms"
    found = values_of("band gap", data)
    assert np.isnan(found).sum() == 10 and np.nanmax(found) == max(
        c.atoms / 10 for i, c in enumerate(crystals) if i % 4
    )
    np.testing.assert_array_equal(values_of("atoms", data), [c.atoms for c in data.crystals])
    same = Crystals.of(data.crystals, [{"atoms": c.atoms} if c.atoms > 8 else {} for c in data.crystals])
    np.testing.assert_array_equal(values_of("atoms", same), [c.atoms for c in data.crystals])
    with pytest.raises(UsageError, match="a column 'atoms' of other numbers"):
        values_of("atoms", Crystals.of(data.crystals, [{"atoms": c.atoms / 2} for c in data.crystals]))
    options = {"data": "labels_csv", "data.file": str(file), "data.property": "band gap", "samples": 10}
    for i, (more, says) in enumerate((
        ({"property": "gap=1.."}, "will know band gap; train it with --wanted gap"),
        ({"data.property": "gap"}, r"no crystal has a number 'gap'; .* band gap \(30\)"),
        ({"wanted": "gap"}, "known: band gap, electronegativity"),
        ({"property": "band gap=1e9.."}, "no training crystal has such a value; they have"),
    )):  # fmt: skip
        with pytest.raises(GenkitError, match=says):
            genkit.run(genkit.config("crystals.property_guidance", "tiny", options | more), out=tmp_path / str(i))
        assert not (tmp_path / str(i) / "checkpoints").exists()  # nothing was trained


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
    mean, variance, total = amounts(exactly)
    assert (variance == 0).all() and (total == 0).all()
    assert [{int(z) + 1: int(n) for z, n in enumerate(m) if n} for m in mean] == [c.composition for c in crystals]
    # an empty or a chlorine atom on every row without freedom: multiplicities 4, 4, 8, 24 of group 225
    half = np.where(np.isin(np.arange(101), [0, 17]), np.log(0.5), -np.inf)
    none = np.where(np.arange(classes) == 0, 0.0, -np.inf)

    def like(*laws):
        return tuple(np.broadcast_to(law, e.shape) for law, e in zip(laws, exactly, strict=True))

    mean, variance, total = amounts(like(half, none))
    np.testing.assert_allclose((mean[0, 16], variance[0, 16]), (20, (16 + 16 + 64 + 576) / 4), rtol=1e-6)
    np.testing.assert_allclose(total[0], (16 + 16 + 64 + 576) / 4, rtol=1e-6)
    # one of two elements on every row, but never none: each amount is uncertain, their sum is not
    either = np.where(np.isin(np.arange(101), [11, 17]), np.log(0.5), -np.inf)
    mean, variance, total = amounts(like(either, none))
    np.testing.assert_allclose(variance[0, [10, 16]], (16 + 16 + 64 + 576) / 4, rtol=1e-6)
    np.testing.assert_allclose((mean[0].sum(), total[0]), (40, 0), atol=1e-3)
    # beside that none or one orbit of each of all 100 elements on rows with freedom, whose counts are independent
    even = np.where(np.arange(classes) < 2, -np.log(2), -np.inf)
    sizes = np.where(slots.free.real, slots.free.multiplicity, 0)[225].astype(float)
    np.testing.assert_allclose(amounts(like(either, even))[2][0], 100 * (sizes**2).sum() / 4, rtol=1e-5)
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
    [({"wanted": "colour"}, "known: electronegativity, atoms"), ({"quantile": 1.0}, "quantile=1"),
     ({"generated": 3}, "generated=3"), ({"wanted": "energy"}, "'energy' is no property of these crystals"),
     ({"bins": 1}, "bins=1")],
)  # fmt: skip
def test_wrong_guidance(options, says, tmp_path):
    with pytest.raises(UsageError, match=says):
        genkit.run(genkit.config("crystals.property_guidance", "tiny", options), out=tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"group": 62, "sites": ("d=9Ti",)}, "knows at most"),
        (
            {"group": 7},
            "group=7, P1c1: no training crystal .* of its crystal system there are 3, 4, .*genkit sample RUN",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_training(options, says, tmp_path):
    with pytest.raises(UsageError, match=says):
        genkit.run(genkit.config("crystals.wyckoffdiff", "tiny", options), out=tmp_path / "run")
