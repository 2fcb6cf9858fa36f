"""What a trained model knows of its items: their sites, their sizes and how frequent these are, their text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from genkit.nn import Net
from genkit.tree import register_dataclass
from genkit_molecules.chemistry import allowed, atoms, classes, places_in, sites
from genkit_molecules.items.denoisers import (
    GraphDenoiser,
    GraphLogOdds,
    OrderedGraphDenoiser,
    SequenceLogOdds,
    SequenceNet,
    real_sites,
)
from genkit_molecules.items.sequence_scores import property_of

Kind = Literal["generator", "discriminator"]


@register_dataclass
@dataclass(frozen=True, eq=False)
class Space:
    """The sites of an item."""

    classes: int
    """K"""
    weights: np.ndarray
    """(D, K) or (K,), frequencies of the classes in the data"""
    allowed: np.ndarray | None = None
    """(D, K) bool, the classes of each site, where they differ"""


@register_dataclass
@dataclass(frozen=True, eq=False)
class Graphs:
    """Molecular graphs; see `genkit_molecules.chemistry.graphs`. A size is a number of atoms."""

    trainers: ClassVar[dict[str, str]] = {
        "discriminator": "molecules.discriminator_guidance --generator {}",
        "classifier": "molecules.property_guidance",
    }
    """experiments that train critics, of a model at a path"""

    elements: tuple[str, ...] = field(metadata={"static": True})
    sizes: np.ndarray
    """(S,) int, the numbers of atoms in the training set"""
    counts: np.ndarray
    """(S,) int, molecules of each"""
    frequencies: np.ndarray
    """(2, K), how often the classes occur as elements and as bonds"""

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """What data must share."""
        return self.elements

    @property
    def classes(self) -> int:
        """K, the mask symbol."""
        return classes(len(self.elements))

    def space(self, size: int) -> Space:
        """The sites of graphs of so many atoms, with the frequencies of elements and bonds in the training set."""
        d, k = sites(size), self.classes
        weights = np.zeros((d, k))
        weights[:size], weights[size:] = self.frequencies
        legal = allowed(size, len(self.elements))
        weights = np.where(
            True if legal is None else legal, weights / np.maximum(weights.sum(1, keepdims=True), 1) + 1e-6, 0
        )
        return Space(k, weights / weights.sum(1, keepdims=True), legal)

    def width(self, size: int) -> int:
        """D, sites of a graph."""
        return sites(size)

    def places(self, size: int, width: int) -> np.ndarray:
        """Places of the sites of a graph in a row of this width."""
        return places_in(size, atoms(width))

    def real(self, mask: Any) -> Any:
        """Which sites are real, (B, D), of the atoms that are, (B, n)."""
        return real_sites(mask)

    def net(self, network: Any, kind: Literal[Kind, "ordered"] = "generator", conditions: int = 0) -> Net:
        """A network for graphs of these elements."""
        return Net(network, (self.elements, kind, 1, conditions))

    def denoiser(self, net: Net, params: Any, **more: Any) -> GraphDenoiser:
        """A generator's network with its parameters."""
        kind = OrderedGraphDenoiser if "ordered" in net.sizes else GraphDenoiser
        return kind(params, net, len(self.elements), **more)

    def log_odds(self, net: Net, params: Any, key: Any = None, unit: float = 1.0) -> GraphLogOdds:
        """A critic's."""
        return GraphLogOdds(params, net, len(self.elements), key, unit)

    def texts(self, x: np.ndarray, size: np.ndarray, say: Any = None) -> list[str | None]:
        """SMILES of graphs (M, D) of so many atoms (M,); None where RDKit cannot sanitise them."""
        from genkit_molecules.chemistry import smiles_of

        places = {n: self.places(n, x.shape[1]) for n in set(size.tolist())}
        return smiles_of([row[places[n]] for row, n in zip(x, size.tolist(), strict=True)], self.elements, say)

    def whole(self, texts: Sequence[str | None]) -> list[str]:
        """Those that have properties: valid ones in one piece."""
        return [s for s in texts if s and "." not in s]

    def measure(self, name: str, texts: Sequence[str]) -> np.ndarray:
        """A property (M,) of SMILES."""
        from genkit_molecules.evaluation import property_of

        return property_of(texts, name)


@register_dataclass
@dataclass(frozen=True, eq=False)
class Letters:
    """Sequences of letters. A size is a length."""

    trainers: ClassVar[dict[str, str]] = dict.fromkeys(("discriminator", "classifier"), "molecules.protein_guidance")
    """experiments that train critics"""

    alphabet: str = field(metadata={"static": True})
    length: int = field(metadata={"static": True})
    """of the longest one"""
    sizes: np.ndarray
    """(S,) int, the lengths in the training set"""
    counts: np.ndarray
    """(S,) int, sequences of each"""
    frequencies: np.ndarray
    """(K,), how often the letters occur"""

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """What data must share."""
        return tuple(self.alphabet)

    @property
    def classes(self) -> int:
        """K, the mask symbol."""
        return len(self.alphabet)

    def space(self, size: int) -> Space:
        """Sites and letters, which are the same for all lengths."""
        return Space(self.classes, self.frequencies + 1e-6)

    def width(self, size: int) -> int:
        """L."""
        return size

    def places(self, size: int, width: int) -> np.ndarray:
        """Places of the sites of a sequence in a row of this width."""
        return np.arange(size)

    def real(self, mask: Any) -> Any:
        """The sites of sequences."""
        return mask

    def net(self, network: Any, kind: Kind = "generator", conditions: int = 0) -> Net:
        """A network for sequences of these letters."""
        return Net(network, (self.classes, kind, 1, conditions))

    def denoiser(self, net: Net, params: Any, **more: Any) -> SequenceNet:
        """A generator's network with its parameters."""
        return SequenceNet(params, net, **more)

    def log_odds(self, net: Net, params: Any, key: Any = None, unit: float = 1.0) -> SequenceLogOdds:
        """A critic's."""
        return SequenceLogOdds(params, net, key, unit)

    def texts(self, x: np.ndarray, size: np.ndarray, say: Any = None) -> list[str | None]:
        """Letters of rows (M, L) of these lengths (M,)."""
        letters = np.array(list(self.alphabet))[np.asarray(x, int)]
        return ["".join(row[:n]) for row, n in zip(letters, size, strict=True)]

    def whole(self, texts: Sequence[str | None]) -> list[str]:
        """Those that have properties: all."""
        return [text for text in texts if text]

    def measure(self, name: str, texts: Sequence[str]) -> np.ndarray:
        """A property (M,) of sequences."""
        return property_of(texts, name)


Layout = Graphs | Letters
