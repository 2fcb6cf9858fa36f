"""Hulls, energies above them, and which candidates are stable, unique and new."""

import gzip
import json
from dataclasses import replace

import numpy as np
import pytest
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition, Lattice, Structure

from genkit.errors import DataError, GenkitError, UsageError
from genkit_crystals.figures import bonds, distances, shrunken_ratio
from genkit_crystals.protostructures import Entry, crystals_of
from genkit_crystals.protostructures import structures as protostructures
from genkit_crystals.protostructures.realise import Realiser
from genkit_crystals.stability import Candidate, Hull, Phase, judged, known_structures, open_hull, read_hull, scores
from genkit_crystals.stability.candidates import read_candidates, write_candidates
from genkit_crystals.stability.matching import are_known

TOY = (Phase("Cu", -3.0), Phase("Au", -2.0), Phase("CuAu", -2.8), Phase("Cu3Au", -2.79))
CSV = "formula,energy_per_atom,calculator\nCu,-3,emt\nAu,-2,EMT\nCuAu,-2.8,ase.calculators.emt:EMT\n"


def test_energies_above_a_toy_hull():
    """CuAu lies 0.3 below the line of Cu and Au, Cu3Au 0.04, which is 0.11 above the line of Cu and CuAu."""
    hull = Hull(TOY, "emt")
    by_hand = {
        ("Cu3Au", -2.79): 0.11,  # half Cu, half CuAu in atoms: -2.9
        ("CuAu", -2.8): 0.0,
        ("Cu2Au2", -2.9): -0.1,
        ("CuAu3", -2.4): 0.0,  # half CuAu, half Au in atoms: -2.4
        ("Cu", -2.5): 0.5,
    }
    for (formula, energy), above in by_hand.items():
        assert hull.above(formula, energy) == pytest.approx(above, abs=1e-9)
    diagram = PhaseDiagram([PDEntry(c := Composition(p.formula), p.energy * c.num_atoms) for p in TOY])
    entry = PDEntry(Composition("Cu5Au2"), -2.6 * 7)
    assert hull.above("Cu5Au2", -2.6) == pytest.approx(diagram.get_e_above_hull(entry))
    with pytest.raises(DataError, match="no phase of Ag"):
        hull.above("AgCu", -1.0)


def lattice(kind, a, species):
    places = {"a": [[0, 0, 0], [0.5, 0.5, 0.5]], "b": [[0, 0, 0], [0.5, 0.5, 0]]}[kind]
    return Structure(Lattice.cubic(a) if kind == "a" else Lattice.tetragonal(a, 0.7 * a), species, places)


def test_stable_unique_and_new_by_hand():
    """Six samples: two of one structure, a known one, one 0.09 above the hull, one not relaxed, one that is none."""
    same, other = lattice("a", 3.0, ["Cu", "Au"]), lattice("a", 3.2, ["Cu", "Au"])
    known, high = lattice("a", 3.0, ["Cu", "Cu"]), lattice("b", 3.0, ["Au", "Au"])
    one = Candidate("AB_cP2_221_a_b:Au-Cu", "cif/0.cif", "", "AB_cP2_221_a_b:Au-Cu", -2.7, converged=1.0)
    found = [
        replace(one, energy_per_atom=-2.75),
        replace(one, energy_per_atom=-2.85),
        replace(one, label="A_cI2_229_a:Cu", energy_per_atom=-3.0),
        replace(one, label="A_cF4_225_a:Au", energy_per_atom=-1.91),
        replace(one, converged=0.0, reason="not relaxed"),
        Candidate("AB_cP2_221_a_b:Au-Cu", "", "calculator emt: no", ""),
    ]
    structures = [same, other, known, high, lattice("b", 4, ["Cu", "Au"]), None]
    out = judged(found, structures, Hull(TOY, "emt"), {"A_cF4_225_a:Au"}, [known])
    above = [c.e_hull for c in out]
    np.testing.assert_allclose(above[:4], [0.05, -0.05, 0.0, 0.09], atol=1e-9)
    assert np.isnan(above[4:]).all()
    assert [c.unique_structure for c in out[:5]] == [0, 1, 1, 1, 1]  # the lower of two that are alike counts
    assert [c.new_structure for c in out[:5]] == [1, 1, 0, 1, 1]
    result = scores(out, hull=True)
    sixth = 1 / 6
    expected = {"stable/0": 2, "stable/0.08": 3, "stable/0.1": 4, "sun/0": 1, "sun/0.08": 1, "sun/0.1": 2}
    expected |= {"sun_label/0": 2, "sun_label/0.08": 2, "sun_label/0.1": 2}  # by label copper is new and gold is not
    for name, count in expected.items():
        assert result[name] == pytest.approx(count * sixth), name
    assert result["e_hull/median"] == pytest.approx(0.025) and result["e_hull/share"] == pytest.approx(4 * sixth)
    assert result["uniqueness/structure"] == pytest.approx(4 / 5)
    assert result["novelty/structure"] == pytest.approx(4 / 5)
    by_label = scores(judged(found, structures, Hull(TOY, "emt"), {"A_cF4_225_a:Au"}, None), hull=True)
    assert by_label["novelty/structure"] is None and by_label["sun/0"] == pytest.approx(2 * sixth)


def test_the_table_of_candidates_is_read_as_written(tmp_path):
    rows = [
        Candidate("a", "cif/0.cif", 'why, "so"', "b", -1.5, 0.9, 12.0, 1.0, 3.0, 0.5, -0.01, 1.0),
        Candidate("", "", "no atoms", ""),
    ]
    write_candidates(tmp_path / "structures.csv", rows)
    assert str(read_candidates(tmp_path / "structures.csv")) == str(rows)  # NaN is not itself
    (tmp_path / "bad.csv").write_text((tmp_path / "structures.csv").read_text().replace("cif/0.cif", "../../x.cif"))
    with pytest.raises(GenkitError, match="no table of structures"):
        read_candidates(tmp_path / "bad.csv")


def test_forms_of_hull_files(tmp_path):
    """Per atom or in total, in the title, a column or JSON's head; entries of pymatgen."""
    from pymatgen.entries.computed_entries import ComputedEntry

    entries = [ComputedEntry("Cu2", -6.2, correction=0.2).as_dict(), ComputedEntry("Au", -2).as_dict()]
    files = {
        "a.csv": CSV,
        "b.csv": "calculator,composition,energy\nemt,Cu2,-6\nemt,Au,-2\nemt,CuAu,-5.6\n",
        "c.csv": "\ufeffformula,energy_per_atom [meV],source\nCu,-3000,emt\nAu,-2000,emt\n",
        "d.csv": "formula,energy,unit,source\nCu,-3,eV/atom,emt\nAu4,-8000,meV,emt\n",
        "e.json": json.dumps({"calculator": "emt", "unit": "eV", "phases": [{"formula": {"Cu": 2}, "energy": -6},
                              {"formula": "Au", "energy": -2}]}),
        "f.json": json.dumps({"source": "emt", "entries": entries}),
        "correction.csv": "formula,energy,correction,unit,source\nCu2,-6200,200,meV,emt\nAu,-2000,,meV,emt\n",
        "semicolons.csv": f"formula;energy_per_atom;source;note\nCu;-3;emt;{'x' * 200_000}\nAu;-2;emt;\n",
        "pandas.json": json.dumps({"columns": ["formula", "energy_per_atom", "source"],
                                   "data": [["Cu", -3, "emt"], ["Au", -2, "emt"]]}),
        "g.csv": f"formula,energy_per_atom (Ha),source\nCu,{-3 / 27.2113860},emt\nAu,{-2 / 27.2113860},emt\n",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        hull = open_hull(tmp_path / name, None, Realiser(calculator="emt"), tmp_path / "none.csv")
        assert [p.energy for p in hull.phases][:2] == pytest.approx([-3, -2], rel=1e-6), name
        hull.require("emt")
    (tmp_path / "h.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    assert len(read_hull(tmp_path / "h.csv.gz").phases) == 3
    (tmp_path / "i.csv").write_text("formula,energy_per_atom\nCu,-3\nAu,-2\n")
    assert read_hull(tmp_path / "i.csv", "emt").source == "emt"
    (tmp_path / "broken.csv.gz").write_bytes(gzip.compress(CSV.encode())[:-12] + b"x" * 12)
    with pytest.raises(DataError, match="damaged gzip"):
        read_hull(tmp_path / "broken.csv.gz")


@pytest.mark.parametrize(
    ("text", "says"),
    [("formula,energy_per_atom,source\nCuAu,-2.8,emt\nAu,-2,emt\n", "no elemental reference of Cu"),
     ("formula,energy_per_atom [cal],source\nCu,-3,emt\n", ":2: .*'cal', an unknown unit"),
     ("formula,energy,unit,source\nCu,-3,furlong,emt\n", "'furlong', an unknown unit"),
     ("formula,energy_per_atom,source\nCu,nan,emt\n", ":2: energy_per_atom 'nan' is no finite number"),
     ("formula,energy_per_atom,source\nCu,,emt\n", ":2: no energy"),
     ("formula,energy_per_atom,source\nCu,-3,emt\nXx2,-1,emt\n", ":3: 'Xx2' is no chemical formula"),
     ("formula,formation_energy_per_atom,source\nCu,0,emt\n", "no total energy"),
     ("formula,energy_per_atom,source\nCu,-3,emt\nAu,-2,mace\n", "of mace, those before are of emt"),
     ("formula,energy_per_atom,source\nCu,-3,emt\nAu,-2,\n", "unknown source"),
     ("formula,energy_per_atom,energy,source\nCu2,-3,-5,emt\n", "is not energy_per_atom"),
     ("formula,energy_per_atom,correction,source\nCu,-3,.1,emt\n", ":2: a correction, of all atoms, beside"),
     ("formula,energy,correction,unit,source\nCu,-3,.1,eV/atom,emt\n", ":2: a correction, of all atoms, beside"),
     ("formula,energy,energy_per_atom,unit,source\nCu2,-6,-3,eV/atom,emt\n", ":2: two energies of an atom"),
     ("formula,energy_per_atom\nCu,-3\n", "does not say what computed"), ("name,e\nCu,-3\n", "no formula"),
     ("formula,energy_per_atom,source\n", "no phases"), ("", "the file is empty")],
)  # fmt: skip
def test_bad_hulls_are_one_line(text, says, tmp_path):
    (tmp_path / "hull.csv").write_text(text)
    with pytest.raises((DataError, UsageError), match=says) as told:
        read_hull(tmp_path / "hull.csv")
    assert "\n" not in str(told.value)


def test_other_sources_are_refused(tmp_path):
    (tmp_path / "hull.csv").write_text(CSV)
    hull = read_hull(tmp_path / "hull.csv")
    with pytest.raises(UsageError, match="of emt, those of the crystals of mace; numbers of two sources"):
        hull.require("mace")
    with pytest.raises(UsageError, match="no energies to compare with"):
        hull.require(None)
    with pytest.raises(UsageError, match="asked for as one of chgnet"):
        read_hull(tmp_path / "hull.csv", "chgnet")
    for name, text in {"a.json": "{", "b.json": '{"x": 1}', "c.json": "3", "d.json": "[3]"}.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match="expected|no JSON"):
            read_hull(tmp_path / name)
    with pytest.raises(UsageError, match="no such file"):
        read_hull(tmp_path / "none.csv")


def test_a_hull_of_structures_is_relaxed_by_the_same_protocol(tmp_path):
    """EMT of ASE: an element relaxes to its lattice constant; what EMT does not know is left out with a word."""
    folder, told = tmp_path / "phases", []
    folder.mkdir()
    for name, a in {"Cu": 3.7, "Au": 4.0, "Na": 4.0}.items():
        Structure.from_spacegroup(225, Lattice.cubic(a), [name], [[0, 0, 0]]).to(str(folder / f"{name}.cif"))
    Structure.from_spacegroup(
        221, Lattice.cubic(3.7), ["Au", "Cu"], [[0, 0, 0], [0.5, 0.5, 0]]
    ).to(str(folder / "Cu3Au.cif"))  # fmt: skip
    hull = open_hull(folder, None, Realiser(calculator="emt"), tmp_path / "hull.csv", told.append)
    assert {p.formula for p in hull.phases} == {"Cu4", "Au4", "Cu3Au1"} and "Na.cif: calculator emt" in told[0]
    # what is left out lowers energies above the hull: it is counted and written
    assert [one.place for one in hull.left_out] == [str(folder / "Na.cif")]
    assert f"{folder / 'Na.cif'},calculator emt" in (tmp_path / "hull_refused.csv").read_text()
    again = read_hull(tmp_path / "hull.csv")
    again.require("EMT")
    # an unrelaxed energy would lie above: copper at 3.7 A is strained
    energies = {p.formula: p.energy for p in hull.phases}
    assert energies["Cu4"] == pytest.approx(-0.007, abs=0.003)
    assert hull.above("Cu3Au", energies["Cu3Au1"]) <= 1e-9


def test_structures_of_a_table_are_relaxed_too(tmp_path):
    """One structure, a mapping, a table of pandas, CIFs in CSV: none of them is a hull of energies."""
    copper = Structure.from_spacegroup(225, Lattice.cubic(3.6), ["Cu"], [[0, 0, 0]])
    cif = copper.to(fmt="cif").replace('"', '""')
    files = {
        "one.json": json.dumps(copper.as_dict()),
        "named.json": json.dumps({"mp-30": copper.as_dict()}),
        "pandas.json": json.dumps({"columns": ["structure"], "data": [[copper.as_dict()]]}),
        "t.csv": f'formula,cif\nCu,"{cif}"\n',
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        hull = open_hull(tmp_path / name, None, Realiser(calculator="emt"), tmp_path / "hull.csv")
        assert [p.formula for p in hull.phases] == ["Cu4"] and not hull.left_out, name
        assert hull.phases[0].energy == pytest.approx(-0.007, abs=0.003)


def test_a_known_structure_needs_no_symmetry(tmp_path, monkeypatch):
    """One whose declared group the atoms lack gives no label, but a sample that is alike is not new."""
    cesium = Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.53]])
    text = cesium.to(fmt="cif").replace("'P 1'", "'P m -3 m'").replace("_symmetry_Int_Tables_number   1", "")
    (tmp_path / "known.cif").write_text(text)
    (tmp_path / "other.cif").write_text(lattice("a", 3.0, ["Cu", "Au"]).to(fmt="cif"))
    (tmp_path / "bad.cif").write_text("data_x")
    assert "221 is declared" in crystals_of(Entry("x", text, "cif"))[0][1]
    monkeypatch.setattr(protostructures, "protostructure", None)  # not called
    found, refused = known_structures(tmp_path, [cesium, None])
    assert refused == 1 and len(found) == 1 and are_known([cesium], found) == [True]


def test_a_ratio_of_shares_is_shrunk_by_what_is_expected():
    """(count + 3) / (expected + 3): two expected and none found is no zero, .02 expected are no surprise."""
    ratio = shrunken_ratio(np.array([0, 0, 10, 0, 400]), np.array([100, 1, 500, 0, 100]), 20, 1000)
    assert ratio == pytest.approx([3 / 5, 3 / 3.02, 1, 1, 403 / 5])


def test_bonds_are_pairs_within_their_radii():
    """Rock salt of 5.64 A: each bond of 2.82 A, none of 3.99 A; covalent radii 1.66 and 1.02 A."""
    points = np.array([[0, 0, 0], [2.82, 0, 0], [0, 2.82, 0], [2.82, 2.82, 0]], float)
    assert bonds(points, np.array([11, 17, 17, 11])) == [(0, 1), (0, 2), (1, 3), (2, 3)]
    near = 0.8 * points  # sodium within 3.2 A of sodium, in a salt and in the metal
    assert bonds(near, np.array([11, 17, 17, 11])) == bonds(points, np.array([11, 17, 17, 11]))
    assert len(bonds(near, np.full(4, 11))) == 6


def test_distances_that_are_not_there_have_no_axes():
    """Without an encoder there is no fwd; of a set of fewer than two crystals there is none at all."""
    meaning = {"model": "diffusion model", "floor": "real, held out"}
    plain = {"fd/model": 3.0, "fd_se/model": 0.1, "fd/floor": 1.0, "fd_se/floor": 0.1}
    assert distances({"fd/model": None, "fd_se/model": None}, meaning) is None
    (alone,) = distances(plain, meaning).axes
    assert alone.get_title() == "Frechet distance of plain descriptors" and len(alone.patches) == 2
    left, right = distances(plain | {"fwd/floor": 2.0, "fwd_se/floor": 0.1}, meaning).axes
    assert (len(left.patches), len(right.patches)) == (1, 2)
    centre = left.patches[0].get_y() + left.patches[0].get_height() / 2
    assert [label.get_text() for label in left.get_yticklabels()][round(centre)] == "real, held out"
