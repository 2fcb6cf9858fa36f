"""Labels, letters and matrices of known crystals, and of random ones in all 230 groups."""

import json
import warnings

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from genkit.errors import DataError
from genkit_crystals.protostructures.elements import numbers, periodic_table
from genkit_crystals.protostructures.files import from_pyxtal, read_labels, to_pyxtal
from genkit_crystals.protostructures.protostructure import Protostructure
from genkit_crystals.protostructures.sources import entries
from genkit_crystals.protostructures.structures import encode, protostructure
from genkit_crystals.protostructures.wyckoff import LETTERS, tables

CUBIC, HALF = Lattice.cubic, (0.5, 0.5, 0.5)
O, Q, QUARTZ = (0, 0, 0), (0.25, 0.25, 0.25), Lattice.hexagonal(4.9137, 5.4047)
PEROVSKITE = Lattice.orthorhombic(5.4423, 7.6401, 5.3796)

# name: (group, cell, {element: coordinates}, label, prototype, number of assignments or None)
CRYSTALS = {
    "NaCl": (225, CUBIC(5.64), [("Na", O), ("Cl", HALF)], "AB_cF8_225_a_b:Cl-Na", "AB_cF8_225_a_b", 2),
    "NaCl, Cl first": (225, CUBIC(5.64), [("Na", HALF), ("Cl", O)], "AB_cF8_225_a_b:Cl-Na", "AB_cF8_225_a_b", 2),
    "SrTiO3": (221, CUBIC(3.905), [("Ti", O), ("Sr", HALF), ("O", (0.5, 0, 0))],
               "A3BC_cP5_221_c_a_b:O-Sr-Ti", "ABC3_cP5_221_a_b_c", 2),
    "SrTiO3, Sr first": (221, CUBIC(3.905), [("Sr", O), ("Ti", HALF), ("O", (0.5, 0.5, 0))],
                         "A3BC_cP5_221_c_a_b:O-Sr-Ti", "ABC3_cP5_221_a_b_c", 2),
    "Si": (227, CUBIC(5.431), [("Si", O)], "A_cF8_227_a:Si", "A_cF8_227_a", 2),
    "origin of another setting": (227, CUBIC(5.431), [("Si", (0.125,) * 3)], "A_cF16_227_c:Si", "A_cF16_227_c", None),
    "wurtzite": (186, Lattice.hexagonal(3.8227, 6.2607), [("Zn", (1 / 3, 2 / 3, 0)), ("S", (1 / 3, 2 / 3, 0.3748))],
                 "AB_hP4_186_b_b:S-Zn", "AB_hP4_186_b_b", 1),
    "zincblende": (216, CUBIC(5.41), [("Zn", O), ("S", Q)], "AB_cF8_216_a_c:S-Zn", "AB_cF8_216_a_c", 8),
    "quartz": (154, QUARTZ, [("Si", (0.4697, 0, 2 / 3)), ("O", (0.4135, 0.2669, 0.7858))],
               "A2B_hP9_154_c_a:O-Si", "AB2_hP9_154_a_c", 2),
    "quartz, other hand": (152, QUARTZ, [("Si", (0.4697, 0, 1 / 3)), ("O", (0.4135, 0.2669, 0.2142))],
                           "A2B_hP9_152_c_a:O-Si", "AB2_hP9_152_a_c", None),
    "rutile": (136, Lattice.tetragonal(4.594, 2.959), [("Ti", O), ("O", (0.3053, 0.3053, 0))],
               "A2B_tP6_136_f_a:O-Ti", "AB2_tP6_136_a_f", 4),
    "anatase": (141, Lattice.tetragonal(3.785, 9.514), [("Ti", O), ("O", (0, 0, 0.2081))],
                "A2B_tI12_141_e_a:O-Ti", "AB2_tI12_141_a_e", None),
    "spinel": (227, CUBIC(8.0806), [("Mg", O), ("Al", (0.625,) * 3), ("O", (0.3874,) * 3)],
               "A2BC4_cF56_227_c_b_e:Al-Mg-O", "AB2C4_cF56_227_a_d_e", 2),
    "CsCl": (221, CUBIC(4.123), [("Cs", O), ("Cl", HALF)], "AB_cP2_221_a_b:Cl-Cs", "AB_cP2_221_a_b", None),
    "CaF2": (225, CUBIC(5.463), [("Ca", O), ("F", Q)], "AB2_cF12_225_a_c:Ca-F", "AB2_cF12_225_a_c", None),
    "Mg": (194, Lattice.hexagonal(3.209, 5.211), [("Mg", (1 / 3, 2 / 3, 0.25))],
           "A_hP2_194_c:Mg", "A_hP2_194_c", None),
    "CaTiO3": (62, PEROVSKITE, [("Ca", (0.0352, 0.25, 0.9929)), ("Ti", (0, 0, 0.5)), ("O", (0.4839, 0.25, 0.0715)),
                                ("O", (0.2891, 0.0371, 0.7111))],
               "AB3C_oP20_62_c_cd_a:Ca-O-Ti", "ABC3_oP20_62_a_c_cd", 2),
}  # fmt: skip
ORBITS = {
    "NaCl": {("a", "Cl", 1), ("b", "Na", 1)},
    "spinel": {("b", "Mg", 1), ("c", "Al", 1), ("e", "O", 1)},
    "wurtzite": {("b", "S", 1), ("b", "Zn", 1)},
    "CaTiO3": {("a", "Ti", 1), ("c", "O", 1), ("c", "Ca", 1), ("d", "O", 1)},
}
FREEDOM = {"NaCl": 1, "wurtzite": 4, "quartz": 6, "rutile": 3, "CaTiO3": 10, "spinel": 2}


def structure(name):
    group, lattice, atoms, *_ = CRYSTALS[name]
    return Structure.from_spacegroup(group, lattice, *zip(*atoms, strict=True))


def random_crystal(group, rng, most=6):
    orbits, taken = [], set()
    for _ in range(rng.integers(1, most)):
        row, fixed = int(rng.integers(tables().rows[group])), None
        fixed = tables().dof[group, row] == 0
        if not (fixed and row in taken):
            orbits.append((row, int(rng.integers(1, 101)), 1 if fixed else int(rng.integers(1, 4))))
        taken.add(row)
    return Protostructure.of(group, orbits)


def test_tables_have_the_numbers_of_the_international_tables():
    t = tables()
    assert t.rows.sum() == 1731 and t.rows.max() == 27 and list(np.flatnonzero(t.rows == 27)) == [47]
    assert [int((t.dof[t.exists] == k).sum()) for k in range(4)] == [616, 718, 167, 230]
    assert (t.fixed.sum(1)[1:] == 0).sum() == 85 and t.multiplicity.max() == 192
    sizes = [len({tuple(p) for p in group}) for group in t.relabellings[1:]]
    assert dict(zip(*np.unique(sizes, return_counts=True), strict=True)) == {
        1: 66, 2: 94, 4: 33, 6: 6, 8: 20, 12: 5, 24: 2, 48: 4
    }  # fmt: skip
    for group, permutations in enumerate(t.relabellings):  # they form a group: uniform draws of them are of images too
        known = {tuple(p) for p in permutations}
        assert all(tuple(p[q]) in known for p in permutations for q in permutations)
        assert (t.dof[group][permutations] == t.dof[group]).all()


@pytest.mark.parametrize("name", CRYSTALS)
def test_labels_of_known_crystals_in_any_cell(name):
    from pymatgen.analysis.prototypes import count_crystal_dof

    *_, label, prototype, images = CRYSTALS[name]
    cell = structure(name)
    rng = np.random.default_rng(0)
    shifted, shuffled, doubled = cell.copy(), cell.copy(), cell.copy()
    shifted.translate_sites(range(len(cell)), rng.uniform(size=3))
    shuffled = Structure.from_sites([cell[int(i)] for i in rng.permutation(len(cell))])
    if len(cell) < 30:
        doubled.make_supercell([2, 1, 1])
    for one in (cell, cell.get_primitive_structure(), shifted, shuffled, doubled):
        assert protostructure(one).label == label
    found = Protostructure.from_label(label)
    assert found.prototype == prototype
    assert images is None or len(found.images()) == images
    if name in ORBITS:
        assert set(found.orbits) == {(LETTERS.index(letter), numbers()[e], n) for letter, e, n in ORBITS[name]}
    assert found.freedom == FREEDOM.get(name, found.freedom) == count_crystal_dof(label)


@pytest.mark.parametrize(("seed", "symprec"), [(0, 0.5), (58, 0.5), (0, 0.1), (1, 0.01)])
def test_labels_of_distorted_crystals_are_those_of_pymatgen(seed, symprec):
    """What spglib finds within .5 A is no crystal with these seeds, and is found again where it is refined."""
    from pymatgen.analysis.prototypes import get_protostructure_label_from_spglib

    rng, cell = np.random.default_rng(seed), structure("SrTiO3, Sr first")
    cell.make_supercell([2, 1, 1])
    for i, v in enumerate(rng.normal(size=(len(cell), 3))):
        cell.translate_sites([i], 0.2 * v / np.linalg.norm(v), frac_coords=False)
    known = get_protostructure_label_from_spglib(cell, raise_errors=True, init_symprec=symprec)
    assert protostructure(cell, symprec).label == Protostructure.from_label(known).label


def test_labels_and_prototypes_of_random_crystals_in_all_groups_are_those_of_pymatgen():
    from pymatgen.analysis.prototypes import canonicalize_element_wyckoffs, get_prototype_from_protostructure

    rng = np.random.default_rng(1)
    for group in range(1, 231):
        crystal = random_crystal(group, rng)
        images = crystal.images()
        assert {one.label for one in images} == {crystal.label} and {one.prototype for one in images} == {
            crystal.prototype
        }
        assert Protostructure.from_label(crystal.label) == crystal.canonical and crystal in images
        letters = "_".join(
            "".join(f"{n}{LETTERS[row]}" for row, e, n in crystal.orbits if e == z) for z in crystal.composition
        )
        own = crystal.label.partition(":")[0].split("_", 3)[3]
        assert canonicalize_element_wyckoffs(letters, group) == own
        assert get_prototype_from_protostructure(crystal.label) == crystal.prototype
        assert from_pyxtal(json.loads(json.dumps(to_pyxtal(crystal)))) == crystal


@pytest.mark.parametrize(
    "label, message",
    [
        ("", "empty"),
        ("Invalid WP multiplicities - AB_cF8_225_a_b:Cl-Na, expected NaCl to be Na", "no protostructure label"),
        ("AB_cF8_225_a_b:Cl-Xx", "'Xx'"),
        ("AB_cF8_225_a_z:Cl-Na", "has no Wyckoff letter 'z'"),
        ("AB_cF8_225_a_b:Cl", "2 lists of letters for 1 elements"),
        ("AB_cF8_225_a_a:Cl-Na", "at most one fits"),
        ("AB_cF9_225_a_b:Cl-Na", "8 atoms"),
        ("A2B_cF8_225_a_b:Cl-Na", "make AB"),
        ("AB_cF8_231_a_b:Cl-Na", "space group 231"),
        ("A_cF4_225_a:Rf", "atomic number 104"),
        ("AB_cF8_225_a_2:Cl-Na", "no list of Wyckoff letters"),
    ],
)
def test_bad_labels_are_refused_with_the_reason(label, message):
    with pytest.raises(DataError, match=message) as caught:
        Protostructure.from_label(label)
    assert "\n" not in str(caught.value)


def test_bad_structures_are_refused_with_file_and_line_and_the_rest_goes_on(tmp_path):
    good = structure("NaCl")
    cif = good.to(fmt="cif")
    disordered = Structure(CUBIC(4), [{"Fe": 0.5, "Ni": 0.5}], [O])
    heavy = Structure(CUBIC(4), ["Rf"], [O])
    oxidised = good.copy().add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    (tmp_path / "a.cif").write_text(cif)
    (tmp_path / "b.cif").write_text(cif[: len(cif) // 3])
    (tmp_path / "c.json").write_text(json.dumps([s.as_dict() for s in (oxidised, disordered, heavy)]))
    (tmp_path / "POSCAR").write_text(good.to(fmt="poscar"))
    (tmp_path / "notes.txt").write_text("no structure")
    quoted = cif.replace('"', '""')
    (tmp_path / "t.csv").write_text(f'id,cif\n1,"{quoted}"\n2,"data_x"\n')
    found = encode(entries(tmp_path))
    assert found.labels == ("AB_cF8_225_a_b:Cl-Na",) * 4
    reasons = {r.place.rpartition("/")[2]: r.reason for r in found.rejects}
    assert set(reasons) == {"b.cif", "c.json[1]", "c.json[2]", "notes.txt", f"t.csv:{3 + cif.count(chr(10))}"}
    assert "disordered" in reasons["c.json[1]"] and "Rf" in reasons["c.json[2]"] and "no atoms" in reasons["b.cif"]
    assert found.summary().startswith("4 encoded, 5 refused")
    for bad in ("none", "notes.txt"):
        with pytest.raises(DataError, match=bad):
            list(entries(tmp_path / bad))


def test_tables_of_labels(tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text("id,wyckoff_spglib,energy_per_atom\n1,AB_cF8_225_b_a:Cl-Na,-1.5\n2,Invalid,0\n3,A_cF8_227_a:Si,\n")
    found, values, rejects = read_labels(file)
    assert [one.label for one in found] == ["AB_cF8_225_a_b:Cl-Na", "A_cF8_227_a:Si"]
    assert values == [{"id": 1, "energy_per_atom": -1.5}, {"id": 3}]
    assert [r.place for r in rejects] == [f"{file}:3"]
    for text, message in (("", "is empty"), ("a,b\n1,2\n", "it has a, b")):
        file.write_text(text)
        with pytest.raises(DataError, match=message):
            read_labels(file)


def test_noble_gases_have_no_electronegativity_and_nobody_is_warned():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = periodic_table.__wrapped__()
    assert list(table[11]) == [0.93, 11, 3, 1] and list(table[18]) == [0, 18, 3, 18]
