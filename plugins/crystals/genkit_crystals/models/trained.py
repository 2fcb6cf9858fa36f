"""A trained diffusion model of crystals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from genkit.discrete import Ancestral
from genkit.errors import UsageError
from genkit.model import Critic, Request, Trained
from genkit.tree import register_dataclass
from genkit_crystals.chains import (
    CrystalDenoiser,
    Final,
    Frequencies,
    Known,
    Noise,
    Property,
    ancestral,
    encode,
    layout,
    placed,
    process,
)
from genkit_crystals.data import Crystals
from genkit_crystals.models.conditions import listed, require_group
from genkit_crystals.models.request import CHUNK, Draw
from genkit_crystals.protostructures import Protostructure


@register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class CrystalModel(Trained):
    """A network on the Wyckoff positions of the space groups that it knows, and how crystals are drawn by it."""

    request: ClassVar[type[Request]] = Draw

    network: Any = field(metadata={"static": True})
    """`genkit.nn.Net` of a generator, see `WyckoffGNN`"""
    params: Any
    groups: Any
    """(231,) int, training crystals of each space group"""
    frequencies: Frequencies
    """of values in the training crystals; the length of the second is the number of classes"""
    prior: tuple[Any, Any] | None
    """what the network's answer is added to, see `CrystalDenoiser`"""
    noise: Noise = field(metadata={"static": True})
    length: int = field(metadata={"static": True})
    likelihood: bool = field(metadata={"static": True})
    strides: int | None = field(metadata={"static": True})
    """steps of the sampler; all if None"""
    final: Final = field(metadata={"static": True})
    widths: tuple[int, ...] = field(metadata={"static": True})
    """numbers of rows at which crystals are divided"""
    discriminator: Critic | None = None
    """of data and of the model alone, see `LogOdds`"""
    classifier: Known | None = None
    """what noisy crystals say of a property"""

    @property
    def known(self) -> np.ndarray:
        """The space groups that it knows."""
        return np.flatnonzero(np.asarray(self.groups))

    @property
    def classes(self) -> int:
        """Counts are below it."""
        return len(self.frequencies.x1)

    @property
    def denoiser(self) -> CrystalDenoiser:
        """The denoiser, in the layout of all space groups that are known; x = (x0, x1), `cond` is the space group."""
        return CrystalDenoiser(
            self.network, self.params, layout(self.known), self.prior, early=self.final == "reference"
        )

    def processes(self, final: Final = "sample") -> Any:
        """The processes of x0 and x1, those of training by default."""
        return process(self.noise, self.length, self.frequencies, self.likelihood, final)

    def sampler(self, strides: int | None = None) -> Ancestral:
        """Its sampler, perhaps with other strides."""
        return ancestral(self.processes(self.final), strides or self.strides, self.final)

    def said(self, crystals: Sequence[Protostructure], wanted: Property) -> float | None:
        """Mean over crystals of the probability by which it says that they are as wanted; None where it holds none."""
        some = [c for c in crystals if self.holds(c)]
        if not some or self.classifier is None:
            return None
        slots = layout(c.group for c in some)
        data, potential = encode(some, slots, self.classes), placed(self.classifier.within(wanted), slots)
        log_p = jax.jit(lambda potential, x, group: potential(x, jnp.zeros(()), group))
        rows = [np.resize(np.arange(i, min(i + CHUNK, len(some))), CHUNK) for i in range(0, len(some), CHUNK)]
        found = [log_p(potential, data[one]["x"], data.group[one]) for one in rows]
        return float(np.exp(np.concatenate(found)[: len(some)]).mean())

    def holds(self, crystal: Any) -> bool:
        """Whether a crystal can be represented."""
        return bool(self.groups[crystal.group]) and all(n < self.classes for *_, n in crystal.orbits)

    def check(self, data: Crystals) -> None:
        """Refuse data of which no crystal can be represented."""
        if not any(map(self.holds, data.crystals)):
            raise UsageError(f"{self!r} knows the space groups {listed(self.known)}; the data have none of them")

    def require(self, groups: np.ndarray) -> None:
        """Refuse space groups that no training crystal has."""
        for group in sorted({int(g) for g in groups} - set(self.known.tolist())):
            require_group(group, self.known)
