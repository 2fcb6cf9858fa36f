"""Molecules of files: any, and the public sets QM9, ZINC250k and MOSES."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from genkit.data.files import fetch
from genkit.errors import DataError, UsageError
from genkit_molecules.data import Graphs, Molecules
from genkit_molecules.graphs import VALENCE

ORGANIC = ("C", "N", "O", "F", "S", "Cl", "Br", "I", "P")


@dataclass(frozen=True)
class Smiles:
    """Molecules of a file of SMILES (.smi, .csv) or structures (.sdf), which may be packed with gzip.

    Used are neutral, closed-shell molecules of the given elements in one Kekule form, each once, without
    stereochemistry, isotopes and explicit hydrogen. What is dropped is counted by its reason.
    """

    file: str = ""
    """path of the file"""
    column: str = "smiles"
    """column of the SMILES in a .csv file"""
    elements: tuple[str, ...] = ORGANIC
    """elements of the atoms"""
    charges: Literal["neutralise", "drop"] = "neutralise"
    """add or take hydrogen where that removes a charge; molecules that stay charged are dropped, or all of them"""
    fragments: Literal["largest", "drop"] = "largest"
    """of molecules in several pieces"""
    invalid: Literal["error", "drop"] = "error"
    """what to do about lines that are no molecule"""
    max_atoms: int = 40
    """heavy atoms; larger molecules are dropped"""
    test: float = 0.1
    """fraction that is kept for tests"""
    limit: int | None = None
    """lines to read; all if none"""

    def __post_init__(self) -> None:
        """Check the fields."""
        unknown = [e for e in self.elements if e not in VALENCE]
        if unknown or not self.elements or len(set(self.elements)) < len(self.elements):
            raise UsageError(f"elements={' '.join(self.elements)}; expected different ones of {' '.join(VALENCE)}")
        if not 0 <= self.test < 1 or self.max_atoms < 1:
            raise UsageError(f"test={self.test} and max_atoms={self.max_atoms}; expected a fraction below 1, and atoms")

    def path(self) -> Path:
        """The file."""
        if not self.file:
            raise UsageError("no file is named; give the path of a .smi, .csv or .sdf file as data.file")
        return Path(self.file).expanduser()

    def load(self) -> Molecules:
        """Read the file; a tenth of the distinct molecules, by their order in it, is for tests."""
        return molecules(self.path(), self)


def molecules(path: Path, of: Smiles) -> Molecules:
    """The molecules of a file under the rules of a data set."""
    from genkit_molecules.reading import Rules, by_size, read

    rules = Rules(of.elements, of.charges, of.fragments, of.max_atoms)
    found = read(path, of.column, rules, of.invalid, of.limit)
    first = {s: k for k, s in reversed(list(enumerate(found.smiles)))}
    distinct = sorted(first.values())
    repeated = len(found.smiles) - len(distinct)
    dropped = found.dropped | ({"repeated": repeated} if repeated else {})
    order = np.random.default_rng(0).permutation(distinct)
    count = round(of.test * len(order))
    splits, names = [], []
    for part in (order[count:], order[:count]):
        graphs = [found.graphs[k] for k in part]
        sizes = by_size(graphs)
        splits.append(tuple(Graphs(n, np.stack([graphs[k] for k in rows])) for n, rows in sizes.items()))
        names.append(tuple(found.smiles[part[k]] for rows in sizes.values() for k in rows))
    if not splits[0]:
        raise DataError(f"{path} leaves no molecule to train on; lower test={of.test}")
    return Molecules(of.elements, splits[0], splits[1], names[0], names[1], path.name, dropped)


@dataclass(frozen=True)
class ZINC250k(Smiles):
    """ZINC250k (Gomez-Bombarelli et al. 2018): the 24 445 molecules of its public validation split; see `Smiles`."""

    def path(self) -> Path:
        """Found in GENKIT_DATA or the cache, else downloaded."""
        return fetch(
            "molecules/zinc250k_valid.smi",
            "ad7d9c2bfebd93ffda6c32ed0e89d1714ae1f592f6340c0e6ae057521bbae30d",
            "https://raw.githubusercontent.com/wengong-jin/icml18-jtnn/master/data/zinc/valid.txt",
        )


@dataclass(frozen=True)
class MOSES(Smiles):
    """MOSES (Polykovskiy et al. 2020): 1.9 M molecules of 8 to 27 heavy atoms, split anew; see `Smiles`."""

    column: str = "SMILES"
    """column of the SMILES"""
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
class QM9Small(Smiles):
    """499 molecules of QM9 (Ramakrishnan et al. 2014), up to 9 heavy atoms of C, N, O, F; see `Smiles`."""

    elements: tuple[str, ...] = ("C", "N", "O", "F")
    """elements of the atoms"""

    def path(self) -> Path:
        """Found in GENKIT_DATA or the cache, else downloaded."""
        return fetch(
            "molecules/qm9_499_properties.csv",
            "8a27706d7d386b873dd6b2ff03efaa8d673cd450cf38ad62bdb739357d029bdb",
            "https://raw.githubusercontent.com/chemprop/chemprop/main/tests/data/regression/mol_multitask.csv",
        )
