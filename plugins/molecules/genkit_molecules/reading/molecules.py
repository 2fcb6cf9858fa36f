"""Files of molecules: what each entry says, what of it is used, and what was dropped or changed and why."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from rdkit import Chem
from rdkit.Chem.MolStandardize import rdMolStandardize

from genkit.errors import DataError
from genkit.files import text_of
from genkit_molecules.chemistry import LARGEST, encoded, flat, from_smiles, parallel, to_graph, to_smiles
from genkit_molecules.items import Notes, gathered
from genkit_molecules.reading.text import column, kind_of

EXPECTED = "SMILES (.smi, .csv, .tsv, .txt) or structures (.sdf), packed with gzip or not"
LISTS, TABLES, STRUCTURES = ("smi", "smiles", "ism", "txt"), ("csv", "tsv"), ("sdf", "sd", "mol")
Charges = Literal["neutralise", "keep", "drop"]


@dataclass(frozen=True)
class Rules:
    """What is used of a molecule: never stereochemistry, isotopes and atom maps."""

    elements: tuple[str, ...]
    """kinds of atoms; charged ones as N+"""
    charges: Charges
    fragments: Literal["largest", "drop"]
    max_atoms: int
    """heavy atoms"""
    hydrogen: bool
    """whether hydrogen atoms are atoms of the graph"""


@dataclass(frozen=True)
class Read:
    """What is used of a file."""

    elements: tuple[str, ...]
    """those of the rules, and the charged ones that were kept"""
    graphs: list[np.ndarray]
    smiles: list[str]
    """canonical"""
    rows: list[int]
    """which of the file's entries each is, from 0"""
    numbers: list[int]
    """where it stands in the file: a line or, of structures, an entry"""
    notes: Notes


@dataclass(frozen=True)
class Used:
    """What is used of an entry: nothing where there is a reason to drop it."""

    dropped: str = ""
    kinds: tuple[str, ...] = ()
    bonds: np.ndarray | None = None
    smiles: str = ""
    changed: tuple[str, ...] = ()


def is_structures(path: Path) -> bool:
    """Whether the file holds structures, whose entries are counted and not its lines."""
    return kind_of(path) in STRUCTURES


def entries(path: Path, named: str) -> Iterator[tuple[int, str | Chem.Mol | None]]:
    """(line or number of the entry, SMILES or molecule) of a file; `named` is the column of a table."""
    kind = kind_of(path)
    if kind in STRUCTURES:
        blocks = re.split(r"^\$\$\$\$[ \t]*$\n?", text_of(path, EXPECTED), flags=re.MULTILINE)
        whole = blocks if blocks[-1].strip() else blocks[:-1]
        yield from enumerate(map(Chem.MolFromMolBlock, whole), start=1)  # what is wrong with one harms no other
    elif kind in TABLES:
        yield from column(path, named)
    elif kind in LISTS:
        yield from (one for one in _listed(text_of(path, EXPECTED)) if one[1])
    else:
        raise DataError(f"{path} is a file of kind {kind!r}; expected {EXPECTED}")


def smiles_in(path: Path, named: str) -> list[str]:
    """The SMILES of a file as they stand there; "" for an empty line of a list and an entry that is no molecule."""
    if kind_of(path) in LISTS:
        return [text for _, text in _listed(text_of(path, EXPECTED))]
    found = [one for _, one in entries(path, named)]
    return [one if isinstance(one, str) else "" if _mol(one) is None else Chem.MolToSmiles(one) for one in found]


def known_in(path: Path, named: str) -> list[str]:
    """SMILES of what is not new after a file was learned: its molecules, their fragments that are used, neutralised."""
    return [s for forms in parallel(_forms, [one for _, one in entries(path, named)]) for s in forms]


def _too_large(entry: str | Chem.Mol | None) -> bool:
    return entry is not None and (len(entry) if isinstance(entry, str) else entry.GetNumAtoms()) > LARGEST


def _mol(entry: str | Chem.Mol | None) -> Chem.Mol | None:
    """The molecule of an entry, if it can be read and is not too large."""
    if isinstance(entry, str):
        return from_smiles(entry)
    return None if _too_large(entry) else entry


def _forms(entry: str | Chem.Mol | None) -> list[str]:
    mol = _mol(entry)
    if mol is None:
        return []
    forms = [flat(mol)]
    if len(Chem.GetMolFrags(forms[0])) > 1:
        forms.append(_fragment(forms[0]))
    if any(a.GetFormalCharge() for a in forms[-1].GetAtoms()):
        forms.append(rdMolStandardize.Uncharger().uncharge(forms[-1]))
    return [Chem.MolToSmiles(one) for one in forms]


def _listed(text: str) -> Iterator[tuple[int, str]]:
    """(line, its first word), or of a list with a header the word below "smiles"; "" of an empty line.

    Words end at blanks, or at tabs alone where a header has tabs: names may then hold blanks or be left out.
    """
    place, tabs, first = 0, False, True
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else (), start=1):
        head = _words(line, "\t" in line) if first else []
        named = [k for k, word in enumerate(head) if "smiles" in word.lower()]
        if named:
            place, tabs = named[0], "\t" in line
        else:
            words = _words(line, tabs)
            yield number, words[min(place, len(words) - 1)] if words else ""
        first = first and not head


def _words(line: str, tabs: bool) -> list[str]:
    line = line.replace('"', "")
    if tabs:
        return [word.strip() for word in line.split("\t")] if line.strip() else []
    return [word for word in re.split(r"[\s,;]+", line) if word]  # SMILES hold neither commas nor semicolons


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
    """Read a file of molecules. Raises DataError where none is left, and if not dropped for an entry that is none."""
    unit = "entry" if is_structures(path) else "line"
    found = [one for _, one in zip(range(limit or 2**62), entries(path, named), strict=False)]
    numbers = [number for number, _ in found]
    answers = parallel(partial(_use, rules), [one for _, one in found])
    dropped = gathered((use.dropped, number) for use, number in zip(answers, numbers, strict=True) if use.dropped)
    if invalid == "error" and (wrong := dropped.get("unreadable")):
        first = found[numbers.index(wrong[0])][1]
        more = f" (and {len(wrong) - 1} more: {', '.join(map(str, wrong[1:6]))})" if wrong[1:] else ""
        raise DataError(
            f"{path}, {unit} {wrong[0]}: {repr(first) if isinstance(first, str) else 'it'} is no molecule{more}; "
            "mend the file or give invalid=drop"
        )
    rows = [row for row, use in enumerate(answers) if not use.dropped]
    notes = Notes(dropped, gathered((what, numbers[row]) for row in rows for what in answers[row].changed), unit)
    if not rows:
        reasons = "; ".join(line.removeprefix("dropped: ") for line in notes.lines()) or "the file is empty"
        raise DataError(f"{path} holds no molecule that can be used: {reasons}")
    uses = [answers[row] for row in rows]
    extra = {kind for use in uses for kind in use.kinds} - set(rules.elements)
    elements = (*rules.elements, *sorted(extra))
    graphs = [encoded(use.kinds, use.bonds, elements) for use in uses if use.bonds is not None]
    return Read(elements, graphs, [use.smiles for use in uses], rows, [numbers[row] for row in rows], notes)


def _use(rules: Rules, entry: str | Chem.Mol | None) -> Used:
    """What is used of an entry."""
    if _too_large(entry):
        return Used("too large")
    mol = _mol(entry)
    if mol is None or mol.GetNumAtoms() == 0:
        return Used("unreadable")
    changed = [f"{name} left out" for name, of in LABELS if any([of(a) for a in mol.GetAtoms()])]
    if any(a.GetChiralTag() for a in mol.GetAtoms()) or any(b.GetStereo() > Chem.BondStereo.STEREOANY
                                                            for b in mol.GetBonds()):  # fmt: skip
        changed.append("stereochemistry left out")
    mol = flat(mol)
    if len(Chem.GetMolFrags(mol)) > 1:
        if rules.fragments == "drop":
            return Used("several fragments")
        mol = _fragment(mol)
        if not any(a.GetSymbol() == "C" for a in mol.GetAtoms()):
            return Used("several fragments, none of them organic")
        changed.append("the largest organic fragment alone")
    if rules.charges == "neutralise" and any(a.GetFormalCharge() for a in mol.GetAtoms()):
        before = [a.GetFormalCharge() for a in mol.GetAtoms()]
        mol = rdMolStandardize.Uncharger().uncharge(mol)
        if before != [a.GetFormalCharge() for a in mol.GetAtoms()]:
            changed.append("neutralised")
    if any(a.GetNumRadicalElectrons() for a in mol.GetAtoms()):
        return Used("radicals")
    if mol.GetNumAtoms() > rules.max_atoms:
        return Used(f"more than {rules.max_atoms} atoms")
    smiles = Chem.CanonSmiles(Chem.MolToSmiles(mol))
    if rules.hydrogen:
        mol = Chem.AddHs(mol)
    try:
        kinds, bonds = to_graph(mol)
    except (Chem.KekulizeException, KeyError):
        return Used("no Kekule form with bonds of order 1 to 3")
    if why := _not_named(kinds, rules):
        return Used(why)
    own = tuple(dict.fromkeys((*kinds, "H") if rules.hydrogen else kinds))
    # what single, double and triple bonds and implied hydrogen cannot say, such as SH4
    if to_smiles(encoded(kinds, bonds, own), own) != smiles:
        return Used("not the same after a round trip")
    return Used("", tuple(kinds), bonds, smiles, tuple(changed))


LABELS = (("isotopes", Chem.Atom.GetIsotope), ("atom maps", Chem.Atom.GetAtomMapNum))


def _fragment(mol: Chem.Mol) -> Chem.Mol:
    """The largest of several pieces, of those with carbon if there is one."""
    parameters = rdMolStandardize.CleanupParameters()
    parameters.preferOrganic = True
    return rdMolStandardize.LargestFragmentChooser(parameters).choose(mol)


def _not_named(kinds: list[str], rules: Rules) -> str:
    """Why atoms of these kinds are not used, or ""."""
    strange = [kind for kind in dict.fromkeys(kinds) if kind not in rules.elements]
    plain = {re.match("[A-Z*][a-z]?", kind)[0] for kind in strange} - set(rules.elements)  # type: ignore[index]
    if plain:
        return f"element {sorted(plain)[0]}"
    return "charged atoms" if strange and rules.charges != "keep" else ""
