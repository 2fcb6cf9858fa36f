"""A trained diffusion model of crystals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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
from genkit_crystals.models.conditions import listed, system_of
from genkit_crystals.models.request import CHUNK, Draw
from genkit_crystals.protostructures import Protostructure, tables


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
        slots = layout(self.known)  # that of all sets, so that they have one program
        data, potential = encode(some, slots, self.classes), placed(self.classifier.within(wanted), slots)
        rows = [np.resize(np.arange(i, min(i + CHUNK, len(some))), CHUNK) for i in range(0, len(some), CHUNK)]
        found = [_log_p(potential, data[one]["x"], data.group[one]) for one in rows]
        return float(np.exp(np.concatenate(found)[: len(some)]).mean())

    def holds(self, crystal: Any) -> bool:
        """Whether a crystal can be represented."""
        return bool(self.groups[crystal.group]) and all(n < self.classes for *_, n in crystal.orbits)

    def check(self, data: Crystals) -> None:
        """Refuse data of which no crystal can be represented."""
        if not any(map(self.holds, data.crystals)):
            raise UsageError(f"{self!r} knows the space groups {listed(self.known)}; the data have none of them")

    def extended(self, groups: np.ndarray) -> CrystalModel:
        """The same model, which has also some space groups that no training crystal has.

        Of such a one it knows the table of Wyckoff positions. What its network learned of groups is the mean over the
        known ones of its crystal system, or over all where there is none; the frequencies of values on a row are those
        of rows of known groups with as many free coordinates and the same multiplicity, or else only the former.
        """
        new = np.setdiff1d(groups, self.known)
        if not len(new):
            return self
        prior, discriminator, classifier = self.prior, self.discriminator, self.classifier
        if prior is not None:
            prior = tuple(_alike(np.array(part), np.asarray(self.groups), new) for part in prior)
        if discriminator is not None:
            network = discriminator.network
            discriminator = replace(discriminator, network=replace(network, params=self._mean(network.params, new)))
        if classifier is not None:
            answers = classifier.answers
            classifier = replace(classifier, answers=replace(answers, params=self._mean(answers.params, new)))
        params = self._mean(self.params, new)
        return replace(self, params=params, prior=prior, discriminator=discriminator, classifier=classifier)

    def _mean(self, params: Any, new: np.ndarray) -> Any:
        """Parameters whose features of new groups are means over known ones; others where a network has no such."""
        table = params.get("context", {}).get("group")
        if table is None:
            return params
        rows = np.array(table["embedding"])
        for group in new:
            own = self.known[system_of(self.known) == system_of(group)]
            rows[group] = rows[own if len(own) else self.known].mean(0)
        return params | {"context": params["context"] | {"group": {"embedding": rows}}}


@jax.jit
def _log_p(potential: Any, x: Any, group: Any) -> Any:
    """What a potential says of crystals without noise, (n,)."""
    return potential(x, jnp.zeros(()), group)


def _alike(logs: np.ndarray, crystals: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Log-probabilities (231, 27, ...) with those of new groups, means over rows that are alike, by crystals (231,)."""
    t = tables()
    weight = np.where(t.exists, crystals[:, None], 0)
    for group in new:
        for row in range(t.rows[group]):
            same = t.dof == t.dof[group, row]
            near = same & (t.multiplicity == t.multiplicity[group, row])
            chosen = next((w for w in (weight * near, weight * same) if w.any()), weight)
            at = np.nonzero(chosen)
            logs[group, row] = np.log(np.average(np.exp(logs[at]), axis=0, weights=chosen[at]))
    return logs
