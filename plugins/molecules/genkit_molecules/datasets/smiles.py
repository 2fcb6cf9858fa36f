"""Molecules of files: any, and the public sets QM9, ZINC250k and MOSES."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from genkit.data import cached, fetch, own_file
from genkit.errors import DataError, UsageError
from genkit_molecules.chemistry import atoms, symbol_and_charge
from genkit_molecules.items import Molecules, Notes, Rows, gathered

ORGANIC = ("C", "N", "O", "F", "S", "Cl", "Br", "I", "P")


@dataclass(frozen=True)
class Smiles:
    """Molecules of a file of SMILES (.smi, .csv, .tsv) or structures (.sdf), which may be packed with gzip.

    Used are closed-shell molecules of the given elements in one Kekule form, each once, without stereochemistry,
    isotopes and atom maps. What is dropped or changed is told by its reason and place.
    """

    file: str = ""
    """path of the file"""
    column: str = "smiles"
    """column of the SMILES in a table, in any case, or a part of its name"""
    split: str = ""
    """column that says train or test in a table; other words are left out. If none, a random part is for tests"""
    elements: tuple[str, ...] = ORGANIC
    """elements of the atoms; charged ones are named apart, as in N+ O-"""
    charges: Literal["neutralise", "keep", "drop"] = "neutralise"
    """add or take hydrogen where that removes a charge, and drop what stays charged; keep charges as they are, and let
    charged elements of the file join `elements`; or drop molecules whose charged elements `elements` does not name"""
    fragments: Literal["largest", "drop"] = "largest"
    """of molecules in several pieces the largest with carbon, or nothing"""
    hydrogen: bool = False
    """whether hydrogen atoms are atoms of the graph, and not implied"""
    invalid: Literal["error", "drop"] = "drop"
    """what to do about entries that are no molecule"""
    max_atoms: int = 40
    """heavy atoms; larger molecules are dropped"""
    test: float = 0.1
    """fraction that is kept for tests"""
    limit: int | None = None
    """entries to read; all if none"""

    def __post_init__(self) -> None:
        """Check the fields."""
        for element in self.elements:
            symbol_and_charge(element)
        if not self.elements or len(set(self.elements)) < len(self.elements):
            raise UsageError(f"elements={' '.join(self.elements)}; expected different ones")
        if not 0 <= self.test < 1 or self.max_atoms < 1:
            raise UsageError(f"test={self.test} and max_atoms={self.max_atoms}; expected a fraction below 1, and atoms")

    def path(self) -> Path:
        """The file."""
        return own_file(self.file, "a .smi, .csv, .tsv or .sdf file")

    def load(self) -> Molecules:
        """Read the file; what is for tests depends on the file alone."""
        return molecules(self.path(), self)


def molecules(path: Path, of: Smiles) -> Molecules:
    """The molecules of a file under the rules of a data set."""
    from genkit_molecules.reading import Rules, column, read

    elements = (*of.elements, "H") if of.hydrogen and "H" not in of.elements else of.elements
    rules = Rules(elements, of.charges, of.fragments, of.max_atoms, of.hydrogen)
    found = read(path, of.column, rules, of.invalid, of.limit)
    first = {s: k for k, s in reversed(list(enumerate(found.smiles)))}
    distinct = sorted(first.values())
    left_out = [("repeated", found.numbers[k]) for k, s in enumerate(found.smiles) if first[s] != k]
    if of.split:
        said = [word for _, word in column(path, of.split)]
        parts = tuple([k for k in distinct if said[found.rows[k]] == part] for part in ("train", "test"))
        others = set(distinct).difference(*parts)
        left_out += [(f"{of.split} is neither train nor test", found.numbers[k]) for k in sorted(others)]
    else:
        order = np.random.default_rng(0).permutation(distinct)
        count = round(of.test * len(order))
        parts = order[count:], order[:count]
    splits, names = [], []
    for part in parts:
        sizes = np.array([atoms(len(found.graphs[k])) for k in part], int)
        groups = {int(n): [part[k] for k in np.flatnonzero(sizes == n)] for n in np.unique(sizes)}
        splits.append(tuple(Rows(n, np.stack([found.graphs[k] for k in rows])) for n, rows in groups.items()))
        names.append(tuple(found.smiles[k] for rows in groups.values() for k in rows))
    if not splits[0]:
        raise DataError(f"{path} leaves no molecule to train on; lower test={of.test}")
    notes = Notes({**found.notes.dropped, **gathered(left_out)}, found.notes.changed, found.notes.unit)
    return Molecules(found.elements, splits[0], splits[1], names[0], names[1], path.name, notes)


@dataclass(frozen=True)
class ZINC250k(Smiles):
    """ZINC250k (Gomez-Bombarelli et al. 2018): 24 445 of its molecules or all 249 455; see `Smiles`."""

    part: Literal["valid", "all"] = "valid"
    """the validation split of Jin et al. 2018, or all, 23 MB"""

    def path(self) -> Path:
        """Found in GENKIT_DATA or the cache, else downloaded."""
        if self.part == "valid":
            return fetch(
                "molecules/zinc250k_valid.smi",
                "ad7d9c2bfebd93ffda6c32ed0e89d1714ae1f592f6340c0e6ae057521bbae30d",
                "https://raw.githubusercontent.com/wengong-jin/icml18-jtnn/master/data/zinc/valid.txt",
            )
        return fetch(
            "molecules/250k_rndm_zinc_drugs_clean_3.csv",
            "35e3f1a52b1badc0697e373d73a18ad773f415936ff992f4c6baa2e067b3e6ae",
            "https://raw.githubusercontent.com/aspuru-guzik-group/chemical_vae/master/models/zinc_properties/"
            "250k_rndm_zinc_drugs_clean_3.csv",
        )


@dataclass(frozen=True)
class MOSES(Smiles):
    """MOSES (Polykovskiy et al. 2020): 1.9 M molecules of 8 to 27 heavy atoms in its own split; see `Smiles`."""

    published: ClassVar[dict[str, Any]] = {
        "network.layers": 12,
        "epochs": 300,
        "batch": 256,
        "optimizer.lr": 2e-4,
        "generated": 200_000,
        "discriminator_epochs": 300,
        "discriminator_batch": 256,
        "discriminator_optimizer.lr": 4e-5,
    }

    split: str = "SPLIT"
    """column that says train or test; test_scaffolds is left out"""
    elements: tuple[str, ...] = ("C", "N", "S", "O", "F", "Cl", "Br")
    """elements of the atoms"""

    def path(self) -> Path:
        """Found in GENKIT_DATA or the cache, else downloaded, 84 MB."""
        return fetch(
            "molecules/moses_dataset_v1.csv",
            "bb47a94d347afd476d3828b5e26dceeabc42a2d8cf92a791d00349f22fea0d8b",
            "https://media.githubusercontent.com/media/molecularsets/moses/master/data/dataset_v1.csv",
        )


@dataclass(frozen=True)
class QM9(Smiles):
    """QM9 (Ramakrishnan et al. 2014): 130 831 molecules of up to 9 heavy atoms of C, N, O, F; see `Smiles`.

    As is usual without the 3054 of the authors' list, which are not what they were made from.
    """

    published: ClassVar[dict[str, Any]] = {"data.test": 0.25, "network.layers": 9, "epochs": 1000, "batch": 1024}

    elements: tuple[str, ...] = ("C", "N", "O", "F")
    """elements of the atoms"""

    def path(self) -> Path:
        """A table of the SMILES in the cache, made from the archive (86 MB), which is looked for or downloaded."""
        from genkit_molecules.reading import table_of_qm9

        def make(path: Path) -> None:
            url = "https://ndownloader.figshare.com/files/"
            archive = fetch("molecules/dsgdb9nsd.xyz.tar.bz2", "ad1ebd51ee7f5b3a6e32e974e5d54012", url + "3195389")
            wrong = fetch("molecules/uncharacterized.txt", "a361887bacb427b8a0ce7903d92a53b4", url + "3195404")
            table_of_qm9(archive, wrong, path)

        return cached("qm9.csv", {"version": 1}, make)


@dataclass(frozen=True)
class QM9H(QM9):
    """QM9 with hydrogen atoms as atoms of the graph, up to 29 atoms."""

    published: ClassVar[dict[str, Any]] = {"data.test": 0.25, "network.layers": 7, "epochs": 2000, "batch": 512}

    hydrogen: bool = True
    """whether hydrogen atoms are atoms of the graph, and not implied"""


@dataclass(frozen=True)
class QM9Small(QM9):
    """499 molecules of QM9, see there."""

    published: ClassVar[dict[str, Any]] = {}
    suggests: ClassVar[dict[str, Any]] = {
        "steps": 800,
        "batch": 64,
        "samples": 300,
        "generated": 2000,
        "discriminator_steps": 400,
    }

    def path(self) -> Path:
        """Found in GENKIT_DATA or the cache, else downloaded."""
        return fetch(
            "molecules/qm9_499_properties.csv",
            "8a27706d7d386b873dd6b2ff03efaa8d673cd450cf38ad62bdb739357d029bdb",
            "https://raw.githubusercontent.com/chemprop/chemprop/main/tests/data/regression/mol_multitask.csv",
        )
