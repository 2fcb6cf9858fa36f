"""Files of molecules: what is used, what is dropped, what is refused."""

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem

from genkit.errors import DataError, UsageError
from genkit_molecules.chemistry.chem import sdf_of, smiles_of, to_graph
from genkit_molecules.chemistry.reading import table_of_qm9
from genkit_molecules.datasets.smiles import QM9Small, Smiles, ZINC250k

DATA = pytest.mark.skipif("GENKIT_DATA" not in os.environ, reason="GENKIT_DATA names no folder of data sets")


def load(folder, text, name="molecules.smi", **options):
    path = Path(folder) / name
    path.write_text(text)
    return Smiles(file=str(path), **{"test": 0.0, **options}).load()


def test_what_is_used_and_what_is_dropped(tmp_path):
    lines = ["CCO first", "", "OCC again", "c1cc[nH]c1", "C[NH3+]", "C[N+](=O)[O-]", "[CH3]", "C[Si](C)(C)C", "CC.O",
             "F/C=C/F", "[13CH4]", "CCCCCCCCCC", "[SH4]"]  # fmt: skip
    data = load(tmp_path, "\n".join(lines), max_atoms=9)
    assert set(data.train_smiles) == {"CCO", "c1cc[nH]c1", "CN", "CC", "FC=CF", "C"}
    assert data.dropped == {
        "repeated": 1, "charged atoms": 1, "radicals": 1, "element Si": 1, "more than 9 atoms": 1,
        "not the same after a round trip": 1,
    }  # fmt: skip
    strict = load(tmp_path, "\n".join(lines), charges="drop", fragments="drop", max_atoms=9)
    assert strict.dropped["charged atoms"] == 2 and strict.dropped["several fragments"] == 1
    back = [s for g in data.train for s in smiles_of(g.x, data.elements)]
    assert back == list(data.train_smiles)


def test_wrong_files(tmp_path):
    with pytest.raises(DataError, match=r"line 2: 'C1CC' is no molecule \(and 1 more: 4\)"):
        load(tmp_path, "C\nC1CC\nCC\nXy\n")
    assert load(tmp_path, "C\nC1CC\nCC\nXy\n", invalid="drop").dropped == {"unreadable": 2}
    with pytest.raises(DataError, match="the file is empty"):
        load(tmp_path, "\n")
    with pytest.raises(DataError, match="element B: 1"):
        load(tmp_path, "OB(O)O\n")
    with pytest.raises(DataError, match="no column 'smiles', but id, SMILES"):
        load(tmp_path, "id,SMILES\n1,C\n", "molecules.csv")
    with pytest.raises(DataError, match="does not exist"):
        Smiles(file=str(tmp_path / "nothing.smi")).load()
    with pytest.raises(DataError, match="of kind 'xyz'"):
        load(tmp_path, "1", "molecules.xyz")
    with pytest.raises(UsageError, match="no file is named"):
        Smiles().load()
    with pytest.raises(UsageError, match="elements=C Xx"):
        Smiles(elements=("C", "Xx"))


def test_tables_and_structures(tmp_path):
    table = load(tmp_path, 'name,mol\na,"CCO"\nb,CC\n', "m.csv", column="mol")
    assert sorted(table.train_smiles) == ["CC", "CCO"] and [(g.n, len(g.x)) for g in table.train] == [(2, 1), (3, 1)]
    lines = "SMILES,SPLIT\nCCO,train\nOCC,test\nCC,test\nCN,test_scaffolds\n"
    table = load(tmp_path, lines, "s.csv", column="SMILES", split="SPLIT")
    assert (table.train_smiles, table.test_smiles) == (("CCO",), ("CC",))
    assert table.dropped == {"repeated": 1, "SPLIT is neither train nor test": 1}
    (tmp_path / "m.sdf").write_text(sdf_of(["c1ccccc1", "CC#N"]))
    found = Smiles(file=str(tmp_path / "m.sdf"), test=0.0).load()
    assert sorted(found.train_smiles) == ["CC#N", "c1ccccc1"]


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
    np.testing.assert_array_equal(rows["x"][2], to_graph(Chem.MolFromSmiles("CC=O"), data.elements))
    for smiles, x in zip(data.train_smiles, rows["x"], strict=True):
        if len(smiles) == 2:  # CO: one bond, between the first two atoms
            np.testing.assert_array_equal(x, [0, 2, 0, 1, 0, 0])


@DATA
def test_real_molecules():
    qm9 = QM9Small().load()
    assert len(qm9.train_smiles) == 449 and len(qm9.test_smiles) == 50 and not qm9.dropped
    assert not set(qm9.train_smiles) & set(qm9.test_smiles)
    zinc = ZINC250k(limit=300).load()
    assert len(zinc.train_smiles) + len(zinc.test_smiles) + sum(zinc.dropped.values()) == 300
    assert len(zinc.train_smiles) > 250 and zinc.layout.classes == 9
