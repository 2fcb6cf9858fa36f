"""Files of molecules: what is used, what is dropped or changed, what is refused."""

import gzip
import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem

import genkit
from genkit.errors import DataError, GenkitError, UsageError
from genkit_molecules.chemistry.chem import encoded, sdf_of, smiles_of, to_graph
from genkit_molecules.chemistry.graphs import symbol_and_charge, valence
from genkit_molecules.datasets.smiles import QM9Small, Smiles, ZINC250k
from genkit_molecules.evaluation import Sample
from genkit_molecules.reading.molecules import known_in, smiles_in, table_of_qm9

DATA = pytest.mark.skipif("GENKIT_DATA" not in os.environ, reason="GENKIT_DATA names no folder of data sets")


def load(folder, text, name="molecules.smi", **options):
    path = Path(folder) / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Smiles(file=str(path), **{"test": 0.0, **options}).load()


def test_what_is_used_and_what_is_dropped(tmp_path):
    lines = ["CCO first", "", "OCC again", "c1cc[nH]c1", "C[NH3+]", "C[N+](=O)[O-]", "[CH3]", "C[Si](C)(C)C", "CC.O",
             "F/C=C/F", "[13CH4]", "CCCCCCCCCC", "[SH4]", "[CH3:1][OH:2]"]  # fmt: skip
    data = load(tmp_path, "\n".join(lines), max_atoms=9)
    assert set(data.train_smiles) == {"CCO", "c1cc[nH]c1", "CN", "CC", "FC=CF", "C", "CO"}
    assert data.notes.dropped == {
        "charged atoms": (6,), "radicals": (7,), "element Si": (8,), "more than 9 atoms": (12,),
        "not the same after a round trip": (13,), "repeated": (3,),
    }  # fmt: skip
    assert data.notes.changed == {
        "neutralised": (5,), "the largest organic fragment alone": (9,), "stereochemistry left out": (10,),
        "isotopes left out": (11,), "atom maps left out": (14,),
    }  # fmt: skip
    assert "dropped: 1 (charged atoms; line 6)" in list(data.notes.lines())
    strict = load(tmp_path, "\n".join(lines), charges="drop", fragments="drop", max_atoms=9)
    assert strict.notes.dropped["charged atoms"] == (5, 6) and strict.notes.dropped["several fragments"] == (9,)
    back = [s for g in data.train for s in smiles_of(g.x, data.elements)]
    assert back == list(data.train_smiles)


def test_charges_are_kinds_of_atoms(tmp_path):
    """Nitro, N-oxide, azide and ylide come back as they were; an alphabet may name the charged atoms."""
    lines = ["C[N+](=O)[O-]", "C[n+]1ccccc1", "CN=[N+]=[N-]", "C[NH3+]", "C[S-]", "CCO"]
    data = load(tmp_path, "\n".join(lines), charges="keep", elements=("C", "N", "O", "S"))
    assert data.elements == ("C", "N", "O", "S", "N+", "N-", "O-", "S-") and not data.notes.dropped
    back = [s for g in data.train for s in smiles_of(g.x, data.elements)]
    assert back == list(data.train_smiles) and set(back) == {Chem.CanonSmiles(s) for s in lines}
    named = load(tmp_path, "\n".join(lines), charges="drop", elements=("C", "N", "O", "N+", "O-"))
    assert named.elements == ("C", "N", "O", "N+", "O-")
    assert named.notes.dropped == {"charged atoms": (3,), "element S": (5,)}
    assert [valence(e) for e in ("N+", "O-", "N-", "S-", "S+", "C-", "B-", "Cl-", "P", "S")] == [
        4,
        1,
        2,
        1,
        3,
        3,
        4,
        0,
        5,
        6,
    ]
    assert symbol_and_charge("O-2") == ("O", -2)


def test_the_organic_part_of_a_salt_is_kept(tmp_path):
    data = load(tmp_path, "F[B-](F)(F)F.[NH3+]CCC\nCCO\n")
    assert set(data.train_smiles) == {"CCCN", "CCO"}
    assert data.notes.changed == {"the largest organic fragment alone": (1,), "neutralised": (1,)}
    assert load(tmp_path, "[Na+].[Cl-]\nCC\n").notes.dropped == {"several fragments, none of them organic": (1,)}


def test_hydrogen_atoms_by_option(tmp_path):
    """Each is an atom of the graph, and none is implied: an atom with free valences is a radical."""
    data = load(tmp_path, "CO\nC#N\n[2H]OC\nC[N+](=O)[O-]\n", hydrogen=True, charges="keep", elements=("C", "N", "O"))
    assert data.elements == ("C", "N", "O", "H", "N+", "O-") and [g.n for g in data.train] == [3, 6, 7]
    assert data.train_smiles == ("C#N", "CO", "C[N+](=O)[O-]") and data.notes.dropped == {"repeated": (3,)}
    for smiles, g in zip(data.train_smiles, data.train, strict=True):
        assert smiles_of(g.x, data.elements) == [smiles]
    assert smiles_of(np.array([[0]]), data.elements) == ["[C]"] and smiles_of(np.array([[0]]), ("C",)) == ["C"]


def test_wrong_files(tmp_path):
    with pytest.raises(DataError, match=r"line 2: 'C1CC' is no molecule \(and 1 more: 4\)"):
        load(tmp_path, "C\nC1CC\nCC\nXy\n", invalid="error")
    assert load(tmp_path, "C\nC1CC\nCC\nXy\n").notes.dropped == {"unreadable": (2, 4)}
    with pytest.raises(DataError, match="the file is empty"):
        load(tmp_path, "\n")
    with pytest.raises(DataError, match="can be used: 1 .element B; line 1"):
        load(tmp_path, "OB(O)O\n")
    with pytest.raises(DataError, match="no column 'smiles', but id, mol; name"):
        load(tmp_path, "id,mol\n1,C\n", "molecules.csv")
    with pytest.raises(DataError, match="no column 'smiles', but a_smiles, b_smiles; name"):
        load(tmp_path, "a_smiles,b_smiles\nC,C\n", "molecules.csv")
    with pytest.raises(DataError, match="has 2 columns 'smiles'; rename all but one"):
        load(tmp_path, "smiles,x,smiles\nC,1,CC\n", "molecules.csv")
    with pytest.raises(DataError, match="molecules.csv is empty; expected a table"):
        load(tmp_path, "\n\n", "molecules.csv")
    for rest in ("CC,b\nCN,c\n", "CC,b\n" * 40_000):  # what follows a quote that is not closed is lost
        with pytest.raises(DataError, match="molecules.csv, line 3: a quote is not closed"):
            load(tmp_path, 'smiles,name\n"C",d\nCCO,"a\n' + rest, "molecules.csv")
    with pytest.raises(DataError, match="does not exist"):
        Smiles(file=str(tmp_path / "nothing.smi")).load()
    with pytest.raises(DataError, match="of kind 'xyz'"):
        load(tmp_path, "1", "molecules.xyz")
    with pytest.raises(UsageError, match="no file is named"):
        Smiles().load()
    with pytest.raises(UsageError, match="element 'Xx'; expected one of H B C"):
        Smiles(elements=("C", "Xx"))


def test_a_file_that_is_not_there_leaves_no_run(tmp_path, monkeypatch):
    """Neither does one that is not named."""
    monkeypatch.chdir(tmp_path)
    for data, words in (("smiles", "no file is named"), ("smiles", "x.smi does not exist"), ("fasta", "no file")):
        options = {"data": data} | ({"data.file": "x.smi"} if "x.smi" in words else {})
        study = genkit.config(f"molecules.{'ardm' if data == 'smiles' else 'protein_ardm'}", "tiny", options)
        with pytest.raises(GenkitError, match=words):
            genkit.run(study)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content, name",
    [
        ("smiles,logP\r\nCCO,1\r\nCCC,2\r\n".encode("utf-8-sig"), "bom.csv"),
        ("smiles,name\nCCO,éthanol\nCCC,x\n".encode("latin-1"), "latin1.csv"),
        ("smiles,name\nCCO,éthanol\nCCC,x\n".encode("utf-16"), "utf16.csv"),
        ("SMILES;x\nCCO;1\nCCC;2\n", "semicolons.csv"),
        ("id\tcanonical_SMILES\n1\tCCO\n2\tCCC\n", "tabs.tsv"),
        ('x|"smiles"\n"a, b"|CCO\n2|CCC\n', "bars.csv"),
        (gzip.compress(b"smiles\nCCO\nCCC\n", mtime=0), "packed.csv.gz"),
        (gzip.compress(b"CCO\nCCC\n", mtime=0), "packed_unnamed.smi"),
        ("SMILES name\nCCO a\nCCC b\n", "header.smi"),
        ("CCO,a\n\nCCC,b\n", "commas.smi"),
        ("id SMILES\na CCO\nb CCC\n", "second.smi"),
        ('\n\nsmiles,name\nCCO,"two\nlines"\n\nCCC', "blank.csv"),
        ("id\tname\tsmiles\n1\tethyl alcohol\tCCO\n\n2\t\tCCC\n", "tabs.smi"),
        ("CCO\tethanol\x85\nCCC b\n".encode("latin-1"), "latin1.SMI"),
    ],
)
def test_files_of_all_sorts(tmp_path, content, name):
    data = load(tmp_path, content, name)
    assert sorted(data.train_smiles) == ["CCC", "CCO"] and not data.notes.dropped


def test_what_would_overflow_the_stack_is_told(tmp_path):
    """RDKit ends the process where it writes a chain of some 20 000 atoms."""
    chain = "C" * 30_000
    assert load(tmp_path, f"{chain}.O\nCCO\n").notes.dropped == {"too large": (1,)}
    assert Sample.of([chain, "CCO"]).valid == ["CCO"] and known_in(tmp_path / "molecules.smi", "") == ["CCO"]
    v30 = ["BEGIN CTAB", "COUNTS 30000 29999 0 0 0", "BEGIN ATOM", *(f"{i} C 0 0 0 0" for i in range(1, 30_001)),
           "END ATOM", "BEGIN BOND", *(f"{i} 1 {i} {i + 1}" for i in range(1, 30_000)), "END BOND",
           "END CTAB"]  # fmt: skip
    block = "\n\n\n  0  0  0     0  0            999 V3000\n" + "".join(f"M  V30 {line}\n" for line in v30) + "M  END\n"
    (tmp_path / "long.sdf").write_text(f"{block}$$$$\n" + sdf_of(["CCO"]))
    assert smiles_in(tmp_path / "long.sdf", "") == ["", "CCO"]
    assert Smiles(file=str(tmp_path / "long.sdf")).load().notes.dropped == {"too large": (1,)}


def test_broken_entries_harm_no_others(tmp_path):
    """An entry without its end, one that is empty, another $$$$ among its data, and empty lines behind the last one."""
    one, two, three, _ = sdf_of(["CCO", "CC#N", "CCC"]).split("$$$$\n")
    text = "$$$$\n".join([one.replace("M  END\n", ""), two, "", f"{three}>  <x>\n$$$$y\n\n", "\n\n"])
    data = load(tmp_path, text, "x.sdf")
    assert sorted(data.train_smiles) == ["CC#N", "CCC"] and data.notes.dropped == {"unreadable": (1, 3)}


@pytest.mark.parametrize(
    "content, name, words",
    [
        (b"CCO\n", "plain.smi.gz", "plain.smi.gz is not packed with gzip; rename it"),
        (gzip.compress(b"CCO\n" * 99, mtime=0)[:-9], "short.smi.gz", "short.smi.gz is damaged gzip"),
        (gzip.compress(b"CCO\n" * 99, mtime=0)[:20] + b"x" * 9, "wrong.smi.gz", "wrong.smi.gz is damaged gzip"),
        (b"CCO\0", "zero.smi", "is no text, as it holds zero bytes"),
        (b"\xff\xfeC", "half.smi", "begins as utf-16 but is not"),
    ],
)
def test_damaged_files(tmp_path, content, name, words):
    with pytest.raises(DataError, match=words):
        load(tmp_path, content, name)


def test_tables_and_structures(tmp_path):
    table = load(tmp_path, 'name,mol\na,"CCO"\nb,CC\n', "m.csv", column="mol")
    assert sorted(table.train_smiles) == ["CC", "CCO"] and [(g.n, len(g.x)) for g in table.train] == [(2, 1), (3, 1)]
    lines = "SMILES,SPLIT\nCCO,train\nOCC,test\nCC,test\nCN,test_scaffolds\n"
    table = load(tmp_path, lines, "s.csv", column="SMILES", split="SPLIT")
    assert (table.train_smiles, table.test_smiles) == (("CCO",), ("CC",))
    assert table.notes.dropped == {"repeated": (3,), "SPLIT is neither train nor test": (5,)}
    (tmp_path / "m.sdf").write_text(sdf_of(["c1ccccc1", "CC#N"]))
    found = Smiles(file=str(tmp_path / "m.sdf"), test=0.0).load()
    assert sorted(found.train_smiles) == ["CC#N", "c1ccccc1"]
    entries = (tmp_path / "m.sdf").read_text().split("$$$$\n")
    broken = load(tmp_path, "$$$$\n".join([entries[0], entries[1].replace(" C ", " Q9"), entries[0], ""]), "broken.sdf")
    assert broken.train_smiles == ("c1ccccc1",) and broken.notes.unit == "entry"
    assert broken.notes.dropped == {"unreadable": (2,), "repeated": (3,)}
    with pytest.raises(DataError, match="broken.sdf, entry 2: it is no molecule; mend"):
        Smiles(file=str(tmp_path / "broken.sdf"), invalid="error").load()


def test_the_archive_of_qm9(tmp_path):
    """Of three files the second one is on the list; the second SMILES counts."""
    with tarfile.open(tmp_path / "all.tar.bz2", "w:bz2") as archive:
        for number, (made, found) in enumerate((("C", "C"), ("N", "O"), ("CC", "CO")), start=1):
            atoms = "X 0 0 0 0\n" * number
            data = f"{number}\ngdb {number} 1.0\n{atoms}1 2 3\n{made}\t{found}\t\nInChI=1S/a\tInChI=1S/b\n".encode()
            member = tarfile.TarInfo(f"dsgdb9nsd_{number:06}.xyz")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    (tmp_path / "list.txt").write_text("3054 compounds\n\n 2  InChI=1S/a  InChI=1S/b  N\n")
    table_of_qm9(tmp_path / "all.tar.bz2", tmp_path / "list.txt", tmp_path / "qm9.csv")
    assert (tmp_path / "qm9.csv").read_text() == "number,smiles\n1,C\n3,CO\n"


def test_graphs_in_rows_of_one_width(tmp_path):
    data = load(tmp_path, "CO\nC#N\nCC=O\n")
    rows = data.padded(data.train)
    assert rows["x"].shape == (3, 6) and rows["mask"].sum(1).tolist() == [2, 2, 3]
    np.testing.assert_array_equal(rows["x"][2], encoded(*to_graph(Chem.MolFromSmiles("CC=O")), data.elements))
    for smiles, x in zip(data.train_smiles, rows["x"], strict=True):
        if len(smiles) == 2:  # CO: one bond, between the first two atoms
            np.testing.assert_array_equal(x, [0, 2, 0, 1, 0, 0])


@DATA
def test_hard_files():
    """Each is read, or refused in words that name it."""
    folder = Path(os.environ["GENKIT_DATA"]) / "hard/molecules"
    ethanol = {"CCO", "CCC"}
    read = {"bom.csv": ethanol, "upper.csv": ethanol, "semi.csv": ethanol, "latin1.csv": ethanol,
            "header_SMILES.smi": ethanol,
            "atommap.smi": {"CO", "CC"}, "iso.smi": {"CO", "c1ccccc1", "CC", "CCO"}, "charges_drop.smi": {"CCO"},
            "rdkit2605.smi": {"CCCN", "CCO"}}  # fmt: skip
    for name, smiles in read.items():
        assert set(Smiles(file=str(folder / name), test=0.0).load().train_smiles) == smiles, name
    nitro = Smiles(file=str(folder / "charges_drop.smi"), charges="keep", test=0.0).load()
    assert set(nitro.train_smiles) == {"C[N+](=O)[O-]", "CCO"}
    broken = Smiles(file=str(folder / "broken.sdf"), test=0.0).load()
    assert broken.notes.dropped == {"unreadable": (2,)} and len(broken.train_smiles) == 2
    assert len(Smiles(file=str(folder / "b200.smi"), test=0.0, max_atoms=200).load().train_smiles[0]) == 200
    for name, words in (("b200.smi", "more than 40 atoms; line 1"), ("notgz.smi.gz", "not packed with gzip")):
        with pytest.raises(DataError, match=f"{name}.*{words}"):
            Smiles(file=str(folder / name)).load()


@DATA
def test_real_molecules():
    qm9 = QM9Small().load()
    assert len(qm9.train_smiles) == 449 and len(qm9.test_smiles) == 50 and not qm9.notes.dropped
    assert not set(qm9.train_smiles) & set(qm9.test_smiles)
    zinc = ZINC250k(limit=300).load()
    assert len(zinc.train_smiles) + len(zinc.test_smiles) + sum(map(len, zinc.notes.dropped.values())) == 300
    assert len(zinc.train_smiles) > 250 and zinc.layout.classes == 9
