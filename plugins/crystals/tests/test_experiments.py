"""The experiments, small; steering towards a composition."""

import csv
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import genkit
from genkit.errors import UsageError
from genkit.testing import check_plugin
from genkit_crystals.layout import encode, layout
from genkit_crystals.protostructure import Protostructure
from genkit_crystals.steering import LookAhead, goal

SALT, STRONTIUM_TITANATE = "AB_cF8_225_a_b:Cl-Na", "A3BC_cP5_221_c_a_b:O-Sr-Ti"


def test_the_plugin():
    check_plugin("crystals")


def test_wyckoffdiff(tmp_path):
    run = genkit.run(genkit.config("crystals.wyckoffdiff", "tiny", {}), out=tmp_path / "run")
    results = run.results
    for name in ("model", "table", "templates", "marginal", "floor"):
        assert results[f"fwd/{name}"] >= 0 and results[f"fd/{name}"] >= 0
    assert results["fd/floor"] < results["fd/templates"] < results["fd/marginal"]
    assert 0 < results["validity"] <= 1 and 0 <= results["novelty/label"] <= 1
    assert results["novelty/prototype/templates"] == 0 and results["ce/relative"] < 1.5
    folder = tmp_path / "run"
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == round(40 * results["validity"])
    assert all(Protostructure.from_label(r["protostructure"]).atoms == int(r["n_atoms"]) for r in rows)
    assert len(json.loads((folder / "orbits.json").read_text())) == len(rows)
    files = list((folder / "cif").glob("*.cif"))
    assert len(files) == round(3 * results["realised/label_match"])
    assert set(run.figures) >= {"distances", "distributions", "elements"}
    again = [one for one in run.sample(jax.random.key(3), 40) if one]
    assert again and all(Protostructure.from_label(one).label == one for one in again)


def test_space_groups_and_a_formula(tmp_path):
    options = {"formula": "PbO", "samples": 24, "chunk": 768, "particles": 64, "realise": 0}
    run = genkit.run(genkit.config("crystals.space_group_conditional", "tiny", options), out=tmp_path / "run")
    assert run.results["train/62"] > 2 and run.results["validity/table/62"] > 0.9
    with (tmp_path / "run" / "labels.csv").open(newline="") as file:
        found = [Protostructure.from_label(r["protostructure"]) for r in csv.DictReader(file)]
    # a network of twenty steps of training finds few
    assert found and {c.group for c in found} <= {62, 198} and {c.chemical_formula for c in found} == {"OPb"}
    assert len(found) == 12 * (run.results["validity/model/62"] + run.results["validity/model/198"])


def test_guidance(tmp_path):
    options = {"realise": 0, "wanted": "atoms", "below": True, "quantile": 0.3}
    run = genkit.run(genkit.config("crystals.property_guidance", "tiny", options), out=tmp_path / "run")
    for name in ("model", "discriminator", "classifier", "both"):
        assert 0 <= run.results[f"yes/{name}"] <= 1 and run.results[f"crystals_per_second/{name}"] > 0
    assert run.results["yes/floor"] < 0.5 and set(run.figures) >= {"wanted", "distances"}
    labels = json.loads((tmp_path / "run" / "samples.json").read_text())["labels"]
    with (tmp_path / "run" / "labels.csv").open(newline="") as file:
        assert [r["protostructure"] for r in csv.DictReader(file)] == [one for one in labels["both"] if one]
    assert (tmp_path / "run" / "checkpoints" / "classifier" / "best").exists()


def test_given_sites(tmp_path):
    options = {"group": 62, "sites": ("c=2O", "b=0", "d=Ti"), "realise": 0, "samples": 20}
    run = genkit.run(genkit.config("crystals.wyckoffdiff", "tiny", options), out=tmp_path / "run")
    labels = json.loads((tmp_path / "run" / "samples.json").read_text())["labels"]["model"]
    found = [Protostructure.from_label(one) for one in labels if one]
    # 2 orbits of 4 atoms of oxygen on c and one of 8 of titanium on d, at the least; higher symmetry halves a cell
    assert run.results["validity"] == 1 and all(c.composition[8] >= 4 <= c.composition[22] for c in found)
    same = [{(row, z): n for row, z, n in c.orbits} for c in found if c.group == 62]
    assert same and all(o[2, 8] == 2 and o[3, 22] == 1 and not any(row == 1 for row, _ in o) for o in same)


def test_the_potential_knows_the_atoms_to_come():
    crystals = [Protostructure.from_label(label) for label in (SALT, STRONTIUM_TITANATE)]
    group = np.array([c.group for c in crystals])
    slots = layout(group)
    data = encode(crystals, slots)
    classes = int(data.x1.max()) + 2
    x = tuple(jnp.asarray(a.astype(int)) for a in (data.x0, data.x1))
    exactly = tuple(
        jnp.where(a[..., None] == jnp.arange(k), 0.0, -jnp.inf) for a, k in zip(x, (101, classes), strict=True)
    )
    potential = LookAhead(goal("SrTiO3", 20), slots, group)
    mean, variance = potential.amounts(exactly)
    assert (variance == 0).all()
    assert [{int(z) + 1: int(n) for z, n in enumerate(m) if n} for m in mean] == [c.composition for c in crystals]
    # an empty or a chlorine atom on every row without freedom: multiplicities 4, 4, 8, 24 of group 225
    half = jnp.where(jnp.isin(jnp.arange(101), jnp.array([0, 17])), jnp.log(0.5), -jnp.inf)
    none = jnp.where(jnp.arange(classes) == 0, 0.0, -jnp.inf)
    mean, variance = potential.amounts(
        tuple(jnp.broadcast_to(law, e.shape) for law, e in zip((half, none), exactly, strict=True))
    )
    np.testing.assert_allclose((mean[0, 16], variance[0, 16]), (20, (16 + 16 + 64 + 576) / 4), rtol=1e-6)
    reached = [goal("SrTiO3").reached(c) for c in (*crystals, None)]
    assert reached == [False, True, False] and goal("Sr2Ti2O6").reached(crystals[1])
    assert not goal(atoms=4).reached(crystals[1]) and goal(atoms=5).reached(crystals[1])
    u = type("U", (), {"t": jnp.array([1.0])})()
    p = type("P", (), {"x": x, "logits": exactly})()
    soft = potential(p, u)
    assert soft[1] > -1 > soft[0]
    u.t = jnp.array([0.0])
    assert list(potential(p, u)) == [-np.inf, 0.0]


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


def test_too_many_orbits_are_refused_before_training(tmp_path):
    with pytest.raises(UsageError, match="knows at most"):
        options = {"group": 62, "sites": ("d=9Ti",)}
        genkit.run(genkit.config("crystals.wyckoffdiff", "tiny", options), out=tmp_path / "run")
