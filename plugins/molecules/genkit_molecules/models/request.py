"""What can be asked of models of molecules and of sequences, and the files of what they draw."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import jax
import numpy as np

from genkit.errors import UsageError
from genkit.files import write
from genkit.kinds import SIGNED
from genkit.model import Piece, Request
from genkit_molecules.models.draw import AT_ONCE, Method, drawn


@dataclass(frozen=True)
class Draw(Request):
    """Base: draw by a method."""

    method: str = ""
    """ardm (the model alone), cfg, ardg, bsdg/N, fadg/N (by the discriminator), discriminator/N, classifier/N (by the
    classifier of a property), both/N, of N particles a sample; if none the model alone, with --property both/10."""
    property: str = ""
    """The property to steer to, the one that the model was trained for."""
    strength: Annotated[float, SIGNED] = 1.0
    """Power of what is said of the property."""
    look_ahead: bool = True
    """Whether discriminator, classifier and both weigh all values of the next site (FADG), or what was drawn (BSDG)."""

    def __call__(self, model: Any, key: jax.Array, n: int, chunk: int = AT_ONCE) -> Iterator[Piece]:
        """Pieces of `samples` (n, D), rows of sites, `size`, `text`, "" where invalid, and of particles see `drawn`."""
        if self.property and self.property != getattr(model, "wanted", ""):
            has = f"steers to {model.wanted}" if getattr(model, "wanted", "") else "steers to no property"
            raise UsageError(f"--property {self.property}: the model {has}; `genkit run "
                             f"{model.layout.trainers['classifier']} --wanted {self.property}` trains one")  # fmt: skip
        name = self.method or ("both/10" if self.property else model.generator.discrete.name)
        method = Method.named(name, model)
        if self.property and method.kind not in ("classifier", "both", "cfg"):
            raise UsageError(
                f"--property {self.property}: {method.kind} does not steer to it; take classifier, both or cfg"
            )
        for piece in drawn(model, key, n, method, chunk, self.strength, self.look_ahead):
            texts = model.layout.texts(piece["samples"], piece["size"])
            yield piece | {"text": np.array([text or "" for text in texts])}


@dataclass(frozen=True)
class Molecules(Draw):
    """Draw molecules."""

    formats: ClassVar[dict[str, str]] = Request.formats | {
        ".smi": "genkit_molecules.models.request:Smiles",
        ".sdf": "genkit_molecules.models.request:Structures",
        ".csv": "genkit_molecules.models.request:MoleculeTable",
    }


@dataclass(frozen=True)
class Sequences(Draw):
    """Draw sequences."""

    formats: ClassVar[dict[str, str]] = Request.formats | {
        ".fasta": "genkit_molecules.models.request:Fasta",
        ".csv": "genkit_molecules.models.request:SequenceTable",
    }

    look_ahead: bool = False
    """Whether discriminator, classifier and both weigh all letters of the next site (FADG) or what was drawn (BSDG)."""


class Text:
    """Base of writers of text files, there complete or not at all."""

    def __init__(self, path: Path):
        self.path, self.parts, self.count, self.empty = path, [], 0, 0

    def write(self, piece: Piece) -> None:
        """Keep a piece."""
        texts = piece["text"].tolist()
        self.parts.append(self.lines(texts, piece))
        self.count, self.empty = self.count + len(texts), self.empty + texts.count("")

    def lines(self, texts: list[str], piece: Piece) -> str:
        """A piece as text."""
        raise NotImplementedError

    def close(self) -> str:
        """Write the file; returns what is in it."""
        write(self.path, "".join(self.parts))
        invalid = f", {self.empty} of them invalid" if self.empty else ""
        return f"{self.count} samples{invalid}"


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
        said = [name for name in ("log_z", "ess", "collapsed") if name in piece]
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
