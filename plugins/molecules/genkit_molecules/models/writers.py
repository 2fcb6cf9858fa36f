"""Files of molecules and of sequences that are drawn."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import ClassVar

import numpy as np

from genkit.files import write
from genkit.model import Piece


class Text:
    """Base of writers of text files, there complete or not at all."""

    def __init__(self, path: Path):
        self.path, self.parts, self.count, self.empty, self.drawn, self.collapsed = path, [], 0, 0, 0, 0

    def write(self, piece: Piece) -> None:
        """Keep a piece."""
        texts = piece["text"].tolist()
        self.parts.append(self.lines(texts, piece))
        self.count, self.empty = self.count + len(texts), self.empty + texts.count("")
        self.collapsed += int(np.sum(piece.get("collapsed", 0)))
        self.drawn = int(piece["place"][-1]) + 1 if "place" in piece else self.drawn

    def lines(self, texts: list[str], piece: Piece) -> str:
        """A piece as text."""
        raise NotImplementedError

    def close(self) -> str:
        """Write the file; returns what is in it."""
        write(self.path, "".join(self.parts))
        invalid = f", {self.empty} of them invalid" if self.empty else ""
        invalid += f", {self.collapsed} without a weight above zero" if self.collapsed else ""
        return f"{self.count} samples{invalid}" + (f" of {self.drawn} that were drawn" if self.drawn else "")


class Smiles(Text):
    """A SMILES a line; an empty line is invalid."""

    def lines(self, texts: list[str], piece: Piece) -> str:
        """A piece as text."""
        return "".join(f"{text}\n" for text in texts)


class Structures(Text):
    """The valid molecules with coordinates in the plane."""

    def lines(self, texts: list[str], piece: Piece) -> str:
        """A piece as text."""
        from genkit_molecules.chemistry import sdf_of

        return sdf_of([text for text in texts if text])


class Fasta(Text):
    """Sequences, 80 letters a line."""

    def lines(self, texts: list[str], piece: Piece) -> str:
        """A piece as text."""
        from genkit_molecules.items import fasta

        return fasta(texts, first=self.count)


class Table(Text):
    """A line a sample, with its properties and what its particles say."""

    head: ClassVar[str]
    names: ClassVar[tuple[str, ...]]

    def measure(self, name: str, texts: list[str]) -> np.ndarray:
        """A property of some samples."""
        raise NotImplementedError

    def lines(self, texts: list[str], piece: Piece) -> str:
        """A piece as text."""
        said = [name for name in ("reward", "log_z", "ess", "collapsed") if name in piece]
        known = [i for i, text in enumerate(texts) if text]
        columns = {name: np.full(len(texts), "", object) for name in self.names}
        for name, column in columns.items():
            column[known] = [f"{value:.6g}" for value in self.measure(name, [texts[i] for i in known])]
        out = io.StringIO()
        table = csv.writer(out, lineterminator="\n")
        if not self.count:
            table.writerow([self.head, "size", *self.names, *said])
        table.writerows(zip(texts, piece["size"], *columns.values(), *(piece[name] for name in said), strict=True))
        return out.getvalue()


class MoleculeTable(Table):
    """SMILES with properties by RDKit; those of invalid ones are empty."""

    head, names = "smiles", ("logP", "QED", "TPSA", "weight", "rings")

    def measure(self, name: str, texts: list[str]) -> np.ndarray:
        """A property of valid SMILES."""
        from genkit_molecules.evaluation import property_of

        return property_of(texts, name)


class SequenceTable(Table):
    """Sequences with properties."""

    head, names = "sequence", ("hydropathy", "charge", "weight", "aromatic")

    def measure(self, name: str, texts: list[str]) -> np.ndarray:
        """A property of sequences."""
        from genkit_molecules.items import property_of

        return property_of(texts, name)
