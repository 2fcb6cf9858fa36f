"""Structure files as they come: what a file says is held against what is read, and nothing passes in silence."""

import gzip
import json
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import ase.io
import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifWriter

import genkit
from genkit.errors import DataError, UsageError
from genkit_crystals.data import Crystals, NoCrystals
from genkit_crystals.datasets.structures_dir import StructuresDir, beside
from genkit_crystals.protostructures import settings, structures
from genkit_crystals.protostructures.cif import blocks
from genkit_crystals.protostructures.sources import Entry, entries
from genkit_crystals.protostructures.structures import encode, read

SALT, CESIUM = "AB_cF8_225_a_b:Cl-Na", "AB_cP2_221_a_b:Cl-Cs"
DATA = os.environ.get("GENKIT_DATA")
HARD = Path(DATA or "", "hard", "crystals")
RIGHT = {
    "07c_R_rhomb.cif": "A_hR6_166_c:Bi", "09_hcp333.cif": "A_hP2_194_c:Mg", "13_dup.cif": "two atoms on one place",
    "14_nocell.cif": "no cell", "15_empty.cif": "empty", "16b_utf8bom.cif": CESIUM, "18_two.cif[NaCl]": SALT,
    "18_two.cif[CsCl]": CESIUM, "19b_missingH.cif": "H1 .H. has no coordinates",
    "20_nearspecial.cif": "A3BC_cP5_221_c_a_b:O-Sr-Ti", "21_OH.cif": "type symbol 'OH'", "24.cif.gz": CESIUM,
    "26_nolabeltype.cif": "AB_cP2_221_a_b:Co-O", "POSCAR_v4": "no symbols of elements",
}  # fmt: skip


def cif(cell, atoms, **tags):
    """A CIF of a cell and of atoms (label, type symbol, x, y, z, occupancy)."""
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = ["data_x", *(f"_cell_{name} {value}" for name, value in zip(names, cell, strict=True))]
    lines += [f"_{name} {value}" for name, value in tags.items() if name != "operations"]
    if "operations" in tags:
        lines += ["loop_", "_symmetry_equiv_pos_as_xyz", *(f"'{one}'" for one in tags["operations"])]
    columns = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")
    return "\n".join([*lines, "loop_", *(f"_atom_site_{name}" for name in columns), *atoms, ""])


def of(text, form="cif", symprec=0.1):
    (one,) = read(Entry("x", text, form), symprec)
    return one


def hexagonal(symbol, number=""):
    tags = {"symmetry_space_group_name_H-M": f"'{symbol}'"} | ({"symmetry_Int_Tables_number": number} if number else {})
    return cif((4.546, 4.546, 11.862, 90, 90, 120), ["Bi Bi 0 0 0.234 1"], **tags)


@pytest.mark.skipif(not HARD.is_dir(), reason="GENKIT_DATA has no hard/crystals")
def test_files_of_real_users():
    found = {one.place.rpartition("/")[2]: one for one in encode(entries(HARD), 1).reads}
    assert set(found) == set(RIGHT)
    for name, right in RIGHT.items():
        assert found[name].label == right or re.search(right, found[name].reason), found[name]
    assert any("special position" in note for note in found["20_nearspecial.cif"].notes)


def test_settings_are_those_of_the_symbol_and_of_the_cell():
    """Axes and origins: by the symbol, by Hall symbols, by the cell; what is left open is refused with its ways."""
    rhombohedral = ["Bi Bi 0.234 0.234 0.234 1"]
    cell = (4.746, 4.746, 4.746, 57.23, 57.23, 57.23)
    for symbol in ("R -3 m :R", "R -3 m R", "R-3m", "R -3 2/m"):
        assert of(cif(cell, rhombohedral, **{"space_group_name_H-M_alt": f"'{symbol}'"})).label == "A_hR6_166_c:Bi"
    assert of(cif(cell, rhombohedral, space_group_IT_number=166)).label == "A_hR6_166_c:Bi"
    for symbol in ("R -3 m :H", "R -3 m H", "R -3 m"):
        assert of(hexagonal(symbol)).label == "A_hR6_166_c:Bi"
    assert "no setting of space group R -3 m :R" in of(hexagonal("R -3 m :R")).reason
    assert "R -3 m and number 12" in of(hexagonal("R -3 m", 12)).reason
    assert "'X y z' is not understood" in of(hexagonal("X y z")).reason
    # nor does a number beside a symbol that is not understood say which setting it is
    for symbol, number, angles in (("C -4 m 21", 113, (90, 90, 90)), ("C -1", 2, (80, 85, 95))):
        tags = {"symmetry_space_group_name_H-M": f"'{symbol}'", "symmetry_Int_Tables_number": number}
        assert f"'{symbol}' is not understood" in of(cif((5, 5, 6, *angles), ["Si Si .1 .2 .3 1"], **tags)).reason
    silicon, cube = ["Si Si 0 0 0 1"], (5.431, 5.431, 5.431, 90, 90, 90)
    name = "symmetry_space_group_name_H-M"
    for symbol, label in (("F d -3 m :1", "A_cF8_227_a:Si"), ("F d -3 m S", "A_cF8_227_a:Si"),
                          ("F d -3 m Z", "A_cF16_227_c:Si")):  # fmt: skip
        assert of(cif(cube, silicon, **{name: f"'{symbol}'"})).label == label
    assert of(cif(cube, silicon, space_group_name_Hall="'F 4d 2 3 -1d'")).label == "A_cF8_227_a:Si"
    both = of(cif(cube, silicon, **{name: "'F d -3 m'"}))
    assert "the setting is not said: A_cF8_227_a:Si in 227" in both.reason and "A_cF16_227_c:Si" in both.reason
    eight = {name: "'F d -3 m'", "chemical_formula_sum": "Si", "cell_formula_units_Z": 8}
    one = of(cif(cube, silicon, **eight))
    assert one.label == "A_cF8_227_a:Si" and not one.reason  # the number of units says which origin
    # without unique axis c or another cell choice, the cell says which axes are meant
    assert {s.choice for s in settings.Declared(None, "P 21/n", "").settings()} == {"b2", "a2", "c2"}
    assert settings.Declared(None, "C m c a", "").settings()[0].group == 64
    assert {s.group for s in settings.Declared(225, "F m 3 m", "").settings()} == {225}


def test_symbols_alone_make_the_crystals_that_operations_make():
    """In all settings of spglib, standard or not: an orbit made of the Hall symbol is that of the listed operations."""
    point, rng = np.array([0.1, 0.23, 0.38]), np.random.default_rng(0)
    for hall in rng.choice(np.arange(1, 531), 12, replace=False):
        one = settings._settings()[0][hall - 1]
        rotations, translations = settings.operations(int(hall))
        metric = sum(r.T @ np.diag([30.0, 40.0, 55.0]) @ r for r in rotations) / len(rotations)
        lattice = Lattice(np.linalg.cholesky(metric)).parameters
        assert one in settings.keeping([one], metric)
        texts = [cif(lattice, ["Fe Fe " + " ".join(map(str, point)) + " 1"], **tags) for tags in (
            {"space_group_name_Hall": f"'{one.symbol}'"},
            {"operations": [", ".join(_xyz(r, t)) for r, t in zip(rotations, translations, strict=True)]})]  # fmt: skip
        found = [of(text, symprec=1e-3) for text in texts]
        assert found[0].label and found[0].label == found[1].label, (one, found)


def _xyz(rotation, translation):
    for row, shift in zip(rotation, translation, strict=True):
        yield (
            "".join(f"{'+' if k > 0 else '-'}{axis}" for k, axis in zip(row, "xyz", strict=True) if k) + f"+{shift:.6f}"
        )


@pytest.mark.parametrize(
    ("atoms", "tags", "says"),
    [(["Na Na 0 0 0 1", "OH1 OH .5 .5 .5 1"], {}, "type symbol 'OH'"),
     (["Wat1 ? 0 0 0 1"], {}, "label 'Wat1'"), (["Na Na 0 0 0 .5"], {}, "occupancy 0.5"),
     (["Na Na 0 0 0 1", "Cl Cl . . . 1"], {}, "Cl .Cl. has no coordinates"), (["Na Na 0 0 0 1.5"], {}, "occupancy 1.5"),
     (["Na Na 0 0 x 1"], {}, "coordinate of Na is 'x'"), (["Na Na nan 0 0 1"], {}, "coordinate of Na is 'nan'"),
     (["Na Na 0 0 0"], {}, "5 values for 6 columns"),
     (["Na Na 0 0 0 1", "K K 0 0 .02 1"], {}, "Na and K are 0.08 A apart|K and Na are 0.08 A apart"),
     (["Na Na 0 0 0 1"], {"chemical_formula_sum": "'Na Cl'"}, "the formula is Na Cl, but .* make Na1"),
     (["Na Na 0 0 0 1"], {"chemical_formula_sum": "Na", "cell_formula_units_Z": 2}, "the cell holds 2 x Na"),
     (["Na Na 0 0 0 1"], {"operations": ["x,y"]}, "operation is not understood"),
     (["Na Na 0 0 0 1"], {"space_group_IT_number": 231}, "expected 1 to 230"),
     (["Rf Rf 0 0 0 1"], {}, "element not represented: Rf")],
)  # fmt: skip
def test_what_no_reader_may_guess_is_refused(atoms, tags, says):
    one = of(cif((4, 4, 4, 90, 90, 90), atoms, **({"operations": ["x,y,z"]} | tags)))
    assert not one.label and re.search(says, one.reason) and "\n" not in one.reason, one


def test_what_is_assumed_is_told():
    cube = (4.1, 4.1, 4.1, 90, 90, 90)
    plain = of(cif(cube, ["Cs Cs+ 0 0 0 ?", "Cl1 ? .5 .5 .5 1.00(2)", "X X 0 0 .3 0"][:2]))
    assert plain.label == CESIUM and plain.notes == ("neither symmetry operations nor a space group: taken as P 1",)
    some = {"operations": ["x,y,z"], "symmetry_Int_Tables_number": 221, "chemical_formula_sum": "'Na?'"}
    one = of(cif(cube, ["Cs Cs 0 0 0 1", "Cl Cl .5 .5 .5 1", "K K .2 .2 .2 0"], **some))
    assert one.label == CESIUM
    assert one.notes == ("the formula 'Na?' is not understood, and not compared", "K has occupancy 0 and is left out")
    # declared 221, but the atoms, in a list of their own, have less within the tolerance; another one mends it
    rounded = cif(cube, ["Cs Cs 0 0 0 1", "Cl Cl .5 .5 .53 1"], **some)
    assert "221 is declared, but the atoms have 99 within 0.1 A; another tolerance (symprec)" in of(rounded).reason
    assert of(rounded, symprec=0.3).label == CESIUM
    higher = cif((4.1, 4.1, 4.1, 90, 90, 90), ["Cs Cs 0 0 0 1", "Cl Cl .5 .5 .5 1"], space_group_IT_number=123)
    assert of(higher).notes == ("space group 123 is declared, 221 was found within 0.1 A",)


def test_cif_is_read_by_its_grammar():
    text = "#c\ndata_a\n_T.One 'it''s' # no\n_two\n;\ndata_b is text\n;\nLOOP_\n_p\n_q\n1 \"2 3\"\n4 5\nDATA_c\n_x 1\n"
    first, second = blocks(text)
    assert (first.name, second.name) == ("a", "c") and first.columns["_t_one"] == ["it''s"]
    assert first.columns["_two"] == ["\ndata_b is text\n"] and first.columns["_q"] == ["2 3", "5"]
    for bad, says in (("Na 0 0", "before the first data_"), ("data_a\nloop_\n_p\n_q\n1\n", "1 values for 2 columns"),
                      ("data_a 3", "belongs to no name")):  # fmt: skip
        with pytest.raises(DataError, match=says):
            blocks(bad)


def salt():
    return Structure.from_spacegroup(225, Lattice.cubic(5.64), ["Na", "Cl"], [(0, 0, 0), (0.5, 0.5, 0.5)])


def test_files_of_all_forms_with_the_numbers_beside_them(tmp_path):
    structure = salt()
    primitive = structure.get_primitive_structure()
    atoms = AseAtomsAdaptor.get_atoms(primitive)
    atoms.info = {"band_gap": 5.0, "energy": -6.0, "ok": True}
    ase.io.write(tmp_path / "frames.extxyz", [atoms, atoms], format="extxyz")
    (tmp_path / "molecule.xyz").write_text("1\n\nNa 0 0 0\n")
    (tmp_path / "a.mcif").write_text(
        cif((5.64,) * 3 + (90,) * 3, ["Na Na 0 0 0 1", "Cl Cl .5 .5 .5 1"])
        + "loop_\n_space_group_symop_magn_operation.xyz\nx,y,z,+1\nx,y,z,-1\n"
        + "loop_\n_space_group_symop_magn_centering.xyz\nx,y,z,+1\nx,y+1/2,z+1/2,-1\n"
        + "x+1/2,y,z+1/2,+1\nx+1/2,y+1/2,z,-1\n"
    )
    table = {"columns": ["structure", "gap"], "data": [[structure.as_dict(), 8.5]]}
    (tmp_path / "table.json.gz").write_bytes(gzip.compress(json.dumps(table).encode()))
    entry = {"@class": "ComputedStructureEntry", "energy": -27.0, "structure": structure.as_dict(), "data": {"gap": 8}}
    (tmp_path / "entry.json").write_text(json.dumps({"mp-1": entry}))
    quoted = str(CifWriter(structure)).replace('"', '""')
    (tmp_path / "t.csv").write_bytes(f'\ufeffname;Structure;band gap\nx;"{quoted}";5,0\ny;"{quoted}";4.5\n'.encode())
    poscar = primitive.to(fmt="poscar").splitlines()
    (tmp_path / "POSCAR.gz").write_bytes(gzip.compress("\n".join(poscar).encode()))
    (tmp_path / "POSCAR_4").write_text("\n".join(line for i, line in enumerate(poscar) if i != 5))  # symbols behind
    (tmp_path / "not.cif.gz").write_text("data_x")
    (tmp_path / ".hidden.cif").write_text("data_x")
    found = {one.place.rpartition("/")[2]: one for one in encode(entries(tmp_path), 1).reads}
    assert {name for name, one in found.items() if not one.label} == {"molecule.xyz", "not.cif.gz"}
    assert "no cell" in found["molecule.xyz"].reason and "not packed with gzip" in found["not.cif.gz"].reason
    assert {one.label for one in found.values() if one.label} == {SALT} and len(found) == 11
    assert found["frames.extxyz[1]"].values == {"band_gap": 5.0, "energy_per_atom": -3.0}
    assert found["table.json.gz[0]"].values == {"gap": 8.5}
    assert found["entry.json[mp-1]"].values == {"energy_per_atom": -27 / 8, "gap": 8.0}
    lines = quoted.count("\n")
    assert found[f"t.csv:{3 + lines}"].values == {"band gap": 4.5} and not found["t.csv:2"].values


def test_what_is_damaged_stops_nothing_else(tmp_path):
    """Frames of a trajectory that was cut, a list with odd records, empty tables, cells that no library survives."""
    atoms = AseAtomsAdaptor.get_atoms(salt().get_primitive_structure())
    ase.io.write(tmp_path / "cut.xyz", [atoms, atoms, atoms], format="extxyz")
    whole = (tmp_path / "cut.xyz").read_text()
    (tmp_path / "cut.xyz").write_text("\n".join(whole.splitlines()[:-1]))
    (tmp_path / "few.xyz").write_text(whole.replace("2", "1", 1))  # fewer atoms counted than there are
    flat = salt().as_dict()
    flat["lattice"]["matrix"] = np.zeros((3, 3)).tolist()
    (tmp_path / "some.json").write_text(json.dumps([salt().as_dict(), flat, {"a": 1}, None]))
    (tmp_path / "none.json").write_text("[]")
    (tmp_path / "head.csv").write_text("id,cif\n")
    found = {one.place.rpartition("/")[2]: one for one in encode(entries(tmp_path), 1).reads}
    good = {"cut.xyz[0]", "cut.xyz[1]", "some.json[0]"}
    assert {name for name, one in found.items() if one.label == SALT} == good
    for name, says in (
        ("cut.xyz[2]", "Frame has 1 atoms, expected 2"), ("few.xyz", "unreadable xyz"), ("none.json", "is empty"),
        ("some.json[1]", "volume of 0"), ("some.json[2]", "expected a mapping with lattice and sites"),
        ("some.json[3]", "expected a mapping with lattice and sites"), ("head.csv", "no rows"),
    ):  # fmt: skip
        assert says in found[name].reason, found[name]
    assert len(found) == 10


def test_what_a_library_raises_is_of_one_structure_alone(monkeypatch):
    def broken(*_, **__):
        raise MemoryError("no room")

    monkeypatch.setattr(structures, "protostructure", broken)
    (one,) = read(Entry("x", str(CifWriter(salt())), "cif"))
    assert one.reason == "not understood: MemoryError: no room"


def test_a_structure_has_its_time(monkeypatch):
    def long(*_, **__):
        end = time.monotonic() + 3
        while time.monotonic() < end:
            pass

    monkeypatch.setattr(structures, "protostructure", long)
    entry = Entry("x", str(CifWriter(salt())), "cif")
    with ThreadPoolExecutor(1) as pool:  # as GENKIT_WORKERS=threads and workers of dask do; its thread goes on
        found = [read(entry, limit=0.05), *pool.map(partial(read, limit=0.05), [entry, entry])]
        assert pool.submit(sum, range(10)).result() == 45
    assert [one.reason for (one,) in found] == ["nothing within 0.05 s"] * 3


def test_json_names_no_code():
    """Properties of pymatgen may be objects of any module, which its own reader imports."""
    content = salt().as_dict()
    content["sites"][0]["properties"] = {"x": {"@module": "this", "@class": "Nothing"}}
    content["sites"][1]["species"][0]["properties"] = {"spin": 5}
    sys.modules.pop("this", None)
    one = read(Entry("x", json.dumps(content), "json"))[0]
    assert one.label == "AB_cF8_225_a_b:Cl-Na" and "this" not in sys.modules


def test_numbers_of_a_folder_stand_in_a_table_and_may_be_missing(tmp_path):
    folder = tmp_path / "cifs"
    folder.mkdir()
    cesium = Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [(0, 0, 0), (0.5, 0.5, 0.5)])
    for name, one in {"salt": salt(), "again": salt(), "cesium": cesium}.items():
        (folder / f"{name}.cif").write_text(str(CifWriter(one)))
    table = tmp_path / "numbers.csv"
    table.write_text("file,gap,energy_per_atom\nsalt.cif,5,-3\nagain,6,-4\ncesium,,\n")
    data = StructuresDir(folder, table, "gap", workers=1).load()
    assert [c.label for c in data.crystals] == [SALT, CESIUM] and data.target == "gap"
    np.testing.assert_array_equal(data.properties["gap"], [6, np.nan])  # of the lowest energy
    np.testing.assert_array_equal(data.energies, [-4, np.nan])
    assert data.statistics()[0] == {"property": "gap", "crystals": 1, "of": 2, "least": 6, "mean": 6, "largest": 6}
    with pytest.raises(DataError, match=r"no crystal has a number 'colour'; .* gap \(1\), energy_per_atom \(1\)"):
        StructuresDir(folder, table, "colour", workers=1).load()
    table.write_text("file,gap\nother,5\n")
    with pytest.raises(DataError, match="no row of the table names a file"):
        StructuresDir(folder, table, workers=1).load()
    with pytest.raises(UsageError, match="symprec=0"):
        StructuresDir(folder, symprec=0.0)


def test_numbers_go_to_the_file_that_is_named(tmp_path):
    """By the path within the folder, by the name alone where it is the only one; what is open is refused."""
    table, folder = tmp_path / "numbers.csv", tmp_path / "my[1]"
    files = {"a/x.cif", "b/x.cif", "c/only.cif.gz", "d/POSCAR", "c/v1.2.cif", "e.cif"}

    def of_rows(*lines):
        table.write_text("\n".join(["file,gap,energy", *lines, ""]))
        return {file: row["gap"] for file, row in beside(table, folder, files).items()}

    assert of_rows("a/x,1", "b/x.cif,2", "only.cif,3", "./d/POSCAR,4", "v1.2,5", f"{folder}/e.cif,6") == {
        "a/x.cif": 1, "b/x.cif": 2, "c/only.cif.gz": 3, "d/POSCAR": 4, "c/v1.2.cif": 5, "e.cif": 6}  # fmt: skip
    assert of_rows("my[1]/a/x.cif,1", "x/e,2") == {"a/x.cif": 1}  # there is no x/e
    for lines, says in ((["x,1"], "x may be a/x.cif or b/x.cif"), (["e,1", "e.cif,2"], r"3: e.cif is e.cif, which .*2"),
                        ([",1"], ":2: no file"), (["q,1"], "no row of the table names a file")):  # fmt: skip
        with pytest.raises(DataError, match=says):
            of_rows(*lines)
    (folder / "a").mkdir(parents=True)
    (folder / "b").mkdir()
    (folder / "a" / "x.cif").write_text(str(CifWriter(salt())))
    (folder / "b" / "x.cif").write_text(cif((4.1,) * 3 + (90,) * 3, ["Cs Cs 0 0 0 1", "Cl Cl .5 .5 .5 1"]))
    table.write_text("file,gap\na/x.cif,1\nb/x.cif,2\n")
    data = StructuresDir(folder, table, "gap", workers=1).load()
    assert dict(zip((c.label for c in data.crystals), data.properties["gap"], strict=True)) == {SALT: 1, CESIUM: 2}


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [("t.csv", "id,cif\n", "the table has no rows"), ("t.json", "[]", "the list is empty"),
     ("t.json", '{"columns": ["a"], "data": [1]}', "expected in data a list for each row"),
     ("t.json", '[{"structure": {}, "n": 1' + "0" * 400 + "}]", "all entries were refused: .*unreadable json")],
)  # fmt: skip
def test_odd_tables_are_refused_in_a_line(name, text, says, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=says):
        StructuresDir(tmp_path / name, workers=1).load()


def test_missing_numbers_are_no_lowest_energies():
    one, two = (structures.Protostructure.from_label(label) for label in (SALT, CESIUM))
    data = Crystals.of([one, one, two], [{}, {"energy_per_atom": -2.0}, {"gap": 1.0}])
    np.testing.assert_array_equal(data.energies, [-2, np.nan])
    np.testing.assert_array_equal(data[np.array([1])].properties["gap"], [1])
    # two names are two quantities: the energy is that of one of them, which most have
    mixed = Crystals.of([one, two, two], [{"energy_per_atom": -3.0}, {"e_form_per_atom": -1.0},
                                          {"e_form_per_atom": -2.0, "energy_per_atom": -9.0}])  # fmt: skip
    np.testing.assert_array_equal(mixed.energies, [np.nan, -2])
    np.testing.assert_array_equal(mixed.properties["energy_per_atom"], [-3, -9])
    with pytest.raises(NoCrystals, match="the data set is empty"):
        Crystals.of([])


def test_refusals_are_kept_in_the_run_also_when_all_is_refused(tmp_path):
    folder, out = tmp_path / "bad", tmp_path / "run"
    folder.mkdir()
    (folder / "a.cif").write_text("data_x")
    (folder / "b.docx").write_text("no")
    config = genkit.config("crystals.wyckoffdiff", "tiny", {"data": "structures_dir", "data.folder": str(folder)})
    with pytest.raises(DataError, match=r"all entries were refused: .*a.cif: no cell.*; .*b.docx: unknown kind"):
        genkit.run(config, out=out)
    assert (out / "refused.csv").read_text().count("\n") == 3
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(DataError, match="the folder is empty"):
        StructuresDir(folder).load()
