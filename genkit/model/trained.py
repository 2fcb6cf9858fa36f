"""Trained models: what is needed to use one, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax

from genkit.model.files import Origin, save
from genkit.model.request import drawn
from genkit.notebook import card


@dataclass(frozen=True, eq=False)
class Trained:
    """Base of trained models: frozen dataclasses that are pytrees of arrays and static options.

    A subclass holds parameters with the statistics, layout, vocabulary and fixed fields that they were trained with;
    never a path, a function, a key or a date. It may have `check(data)`, which refuses data that it was not trained
    for, and `request`, what can be asked when it is sampled (`genkit.model.Request`).
    """

    origin: Origin | None = field(default=None, init=False, repr=False)
    """where it was loaded from or saved to; no part of the pytree"""

    def save(self, folder: str | Path) -> Path:
        """Write ``folder``, from which `genkit.load_model` reads it; see `genkit.model.save`."""
        return save(self, folder).origin.folder

    @property
    def parameters(self) -> int:
        """Number of numbers in its arrays."""
        return sum(leaf.size for leaf in jax.tree.leaves(self) if hasattr(leaf, "size"))

    def sample(self, key: Any, n: int, **conditions: Any) -> Any:
        """n samples under conditions, those of its request; see `genkit sample MODEL --help`."""
        return drawn(self, key, n, **conditions)

    def _repr_html_(self) -> str:
        facts = {"numbers": f"{self.parameters:,}", "saved": "no"}
        if self.origin is not None:
            facts |= {"of": self.origin.name, "fingerprint": self.origin.fingerprint, "saved": self.origin.folder}
        return card(type(self).__name__, facts)

    def __repr__(self) -> str:
        about = "not saved" if self.origin is None else f"{self.origin.name} {self.origin.fingerprint}"
        return f"{type(self).__name__}({about}, {self.parameters:,} numbers)"
