"""Files of molecules: what each line says, what of it is used, and what was dropped and why."""

from __future__ import annotations

import csv
import gzip
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from rdkit import Chem
from rdkit.Chem.MolStandardize import rdMolStandardize

from genkit.errors import DataError
from genkit_molecules.chemistry.chem import parallel, to_graph, to_smiles
from genkit_molecules.chemistry.graphs import sites

Charges = Literal["neutralise", "drop"]


@dataclass(frozen=True)
class Rules:
    """What is used of a molecule. Stereochemistry and isotopes are left out always, hydrogen atoms are implied."""

    elements: tuple[str, ...]
    charges: Charges
    fragments: Literal["largest", "drop"]
    max_atoms: int


@dataclass(frozen=True)
class Read:
    """The graphs of a file, their canonical SMILES, where they stood, and what was dropped."""

    graphs: list[np.ndarray]
    smiles: list[str]
    rows: list[int]
    """which of the file's entries each is"""
    dropped: dict[str, int]


def entries(path: Path, named: str) -> Iterator[tuple[int, str | Chem.Mol | None]]:
    """(line or number, SMILES or molecule) of a .smi, .csv or .sdf file, which may be packed with gzip.

    `named` is the column of a .csv file.
    """
    kind = "".join(path.suffixes[-2:]).removesuffix(".gz").rpartition(".")[2].lower()
    opened = gzip.open if path.suffix == ".gz" else open
    if kind == "sdf":
        with opened(path, "rb") as file:
            yield from enumerate(Chem.ForwardSDMolSupplier(file), start=1)
        return
    if kind == "csv":
        yield from column(path, named)
        return
    with opened(path, "rt", encoding="utf-8", newline="") as file:
        if kind in ("smi", "smiles", "txt"):
            for number, line in enumerate(file, start=1):
                if words := line.split():
                    yield number, words[0]
        else:
            raise DataError(f"{path} is a file of kind {kind!r}; expected .smi, .csv or .sdf, packed or not")


def column(path: Path, name: str) -> Iterator[tuple[int, str]]:
    """(line, word) of a column of a .csv file, which may be packed with gzip."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if name not in (reader.fieldnames or ()):
            found = ", ".join(reader.fieldnames or ()) or "nothing"
            raise DataError(f"{path} has no column {name!r}, but {found}; name one of these")
        for row in reader:
            yield reader.line_num, (row[name] or "").strip()


def table_of_qm9(archive: Path, wrong: Path, to: Path) -> None:
    """The column smiles of QM9's archive of .xyz files, without those of the authors' list.

    A file has the number of atoms, a line of properties, a line for each atom, one of frequencies, and one of two
    SMILES: of the molecule as it was made, and as it was found to be.
    """
    words = [line.split() for line in wrong.read_text().splitlines()]
    left_out = {int(line[0]) for line in words if len(line) > 2 and line[0].isdigit()}
    if not left_out:
        raise DataError(f"{wrong} lists no molecules; expected lines that start with a number")
    with tarfile.open(archive, "r|bz2") as files, open(to, "w", encoding="utf-8") as out:
        out.write("number,smiles\n")
        for member in files:
            file = files.extractfile(member)
            number = member.name.removesuffix(".xyz").rpartition("_")[2]
            if file is None or not number.isdigit() or int(number) in left_out:
                continue
            lines = file.read().decode().splitlines()
            out.write(f"{int(number)},{lines[int(lines[0]) + 3].split()[1]}\n")


def read(path: Path, named: str, rules: Rules, invalid: Literal["error", "drop"], limit: int | None = None) -> Read:
    """Read a file of molecules. Raises DataError for lines that are no molecule (unless dropped) and for none left."""
    if not path.is_file():
        raise DataError(f"{path} does not exist; expected a file of SMILES (.smi, .csv) or molecules (.sdf)")
    found = [one for _, one in zip(range(limit or 2**62), entries(path, named), strict=False)]
    answers = parallel(partial(_use, rules), [one for _, one in found])
    wrong = [(number, one) for (number, one), (why, *_) in zip(found, answers, strict=True) if why == "unreadable"]
    if wrong and invalid == "error":
        number, one = wrong[0]
        more = f" (and {len(wrong) - 1} more: {', '.join(str(k) for k, _ in wrong[1:6])})" if wrong[1:] else ""
        raise DataError(
            f"{path}, line {number}: {one if isinstance(one, str) else 'the entry'!r} is no molecule{more}; "
            "mend the file or give invalid=drop"
        )
    dropped = Counter(why for why, *_ in answers if why)
    kept = [(row, graph, smiles) for row, (why, graph, smiles) in enumerate(answers) if not why]
    if not kept:
        reasons = "; ".join(f"{why}: {count}" for why, count in dropped.most_common(3)) or "the file is empty"
        raise DataError(f"{path} holds no molecule that can be used ({reasons})")
    rows, graphs, smiles = (list(part) for part in zip(*kept, strict=True))
    return Read(graphs, smiles, rows, dict(dropped.most_common()))


def _use(rules: Rules, entry: str | Chem.Mol | None) -> tuple[str, np.ndarray | None, str]:
    """(why it is dropped or "", its graph, its canonical SMILES)."""
    mol = Chem.MolFromSmiles(entry) if isinstance(entry, str) else entry
    if mol is None or mol.GetNumAtoms() == 0:
        return "unreadable", None, ""
    mol = Chem.RemoveHs(mol)
    Chem.RemoveStereochemistry(mol)
    for atom in mol.GetAtoms():
        atom.SetIsotope(0)
    parts = Chem.GetMolFrags(mol, asMols=True)
    if len(parts) > 1:
        if rules.fragments == "drop":
            return "several fragments", None, ""
        mol = max(parts, key=lambda part: part.GetNumAtoms())
    if any(a.GetFormalCharge() for a in mol.GetAtoms()):
        mol = rdMolStandardize.Uncharger().uncharge(mol) if rules.charges == "neutralise" else mol
        if any(a.GetFormalCharge() for a in mol.GetAtoms()):
            return "charged atoms", None, ""
    if any(a.GetNumRadicalElectrons() for a in mol.GetAtoms()):
        return "radicals", None, ""
    if mol.GetNumAtoms() > rules.max_atoms:
        return f"more than {rules.max_atoms} atoms", None, ""
    others = {a.GetSymbol() for a in mol.GetAtoms()} - set(rules.elements)
    if others:
        return f"element {sorted(others)[0]}", None, ""
    try:
        graph = to_graph(mol, rules.elements)
    except (Chem.KekulizeException, KeyError):
        return "no Kekule form with bonds of order 1 to 3", None, ""
    smiles = Chem.MolToSmiles(mol)
    # what single, double and triple bonds and implied hydrogen cannot say, such as SH4
    if graph is None or to_smiles(graph, rules.elements) != Chem.CanonSmiles(smiles):
        return "not the same after a round trip", None, ""
    return "", graph, Chem.CanonSmiles(smiles)


def by_size(graphs: Sequence[np.ndarray]) -> dict[int, np.ndarray]:
    """Rows (M, D) by number of atoms, and in which order: {n: (indices)}."""
    sizes = np.array([len(g) for g in graphs])
    found = {n: np.flatnonzero(sizes == sites(n)) for n in range(1, 200)}
    return {n: index for n, index in found.items() if len(index)}
