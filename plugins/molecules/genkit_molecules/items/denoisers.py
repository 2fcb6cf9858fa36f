"""Networks on graphs as denoisers and log-potentials of rows of sites."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from genkit.discrete import Ordered
from genkit.tree import register_dataclass
from genkit_molecules.chemistry import BONDS, atoms, classes, pairs

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class GraphNet:
    """A network on graphs and its parameters; see `genkit_molecules.networks`.

    Conditions are None or a dict: "mask" (B, n) bool, which atoms are real; "given" (B, c) float, what is wanted.
    """

    params: Any
    apply: Any = field(metadata={"static": True})
    elements: int = field(metadata={"static": True})
    key: Any = None
    """for dropout; None switches it off"""
    unit: Any = 1.0
    """what the network takes for one is t = 1 / unit"""
    given: Any = None
    """(c,) what is wanted of all items, where the condition does not say"""

    def raw(self, x: Array, t: Array, cond: Any) -> Any:
        """What the network says of rows x (B, D)."""
        n = atoms(x.shape[1])
        mask, given = told(cond, self.given, len(x))
        kinds, bonds = x[:, :n], x[:, n:]
        mask_symbol = classes(self.elements)
        kinds = jnp.where(kinds == mask_symbol, self.elements, kinds)
        bonds = jnp.where(bonds == mask_symbol, BONDS, bonds)
        return self.apply(self.params, kinds, bonds, jnp.asarray(t) * self.unit, mask, given, self.key)


@register_dataclass
@dataclass(frozen=True)
class GraphDenoiser(GraphNet):
    """Logits of the hidden sites."""

    def __call__(self, x: Array, t: Array, cond: Any = None) -> Array:
        """(B, D, K); classes that a site does not have are the sampler's to exclude."""
        return self.joined(self.raw(x, t, cond))

    def joined(self, parts: Any) -> Array:
        """Logits (B, D, K) of those of atoms and of bonds, each of its own classes."""
        wide = classes(self.elements)
        return jnp.concatenate([jnp.pad(a, ((0, 0), (0, 0), (0, wide - a.shape[-1]))) for a in parts], 1)


@register_dataclass
@dataclass(frozen=True)
class OrderedGraphDenoiser(GraphDenoiser):
    """Logits of the hidden sites, and of which site is next: of a learned order."""

    def __call__(self, x: Array, t: Array, cond: Any = None) -> Ordered:  # type: ignore[override]
        """Leaves (B, D, ...)."""
        parts = self.raw(x, t, cond)
        policy, posterior = (jnp.concatenate([a[..., k] for a in parts], 1) for k in (-2, -1))
        return Ordered(self.joined([a[..., :-2] for a in parts]), policy, posterior)


@register_dataclass
@dataclass(frozen=True)
class GraphLogOdds(GraphNet):
    """One number a graph: the log-odds of a discriminator."""

    def __call__(self, x: Array, t: Array, cond: Any = None) -> Array:
        """(B,)."""
        return self.raw(x, t, cond)[:, 0]


@register_dataclass
@dataclass(frozen=True)
class SequenceNet:
    """A network on sequences and its parameters: logits (B, L, K), or numbers (B, outputs).

    Conditions are None or a dict: "mask" (B, L) bool, which sites are real; "given" (B, c) float, what is wanted.
    """

    params: Any
    apply: Any = field(metadata={"static": True})
    key: Any = None
    """for dropout; None switches it off"""
    unit: Any = 1.0
    """what the network takes for one is t = 1 / unit"""
    given: Any = None
    """(c,) what is wanted of all items, where the condition does not say"""

    def __call__(self, x: Array, t: Array, cond: Any = None) -> Array:
        """What the network says of rows x (B, L), K where hidden."""
        mask, given = told(cond, self.given, len(x))
        return self.apply(self.params, x, jnp.asarray(t) * self.unit, mask, given, self.key)


@register_dataclass
@dataclass(frozen=True)
class SequenceLogOdds(SequenceNet):
    """One number a sequence: the log-odds of a discriminator."""

    def __call__(self, x: Array, t: Array, cond: Any = None) -> Array:
        """(B,)."""
        return super().__call__(x, t, cond)[:, 0]


@register_dataclass
@dataclass(frozen=True)
class Held:
    """A function of states, to which sites that are given are visible from the beginning.

    Of a chain that reveals sites, p(x_i | x_S and what is given) for p(x_i | x_S): its law is then the model's own
    given these sites, whatever the order and the number of particles. Conditions also have "known" (B, D) int, K where
    a site is not given, and "sites" (B,), how many sites are real.
    """

    function: Any
    classes: int = field(metadata={"static": True})
    """K"""

    def at(self, x: Array, cond: Any) -> tuple[Array, Array]:
        """x (B, D) with what is given, and the fraction (B,) of its sites that is hidden."""
        x = jnp.where(cond["known"] < self.classes, cond["known"], x)
        return x, (x == self.classes).sum(1) / cond["sites"]

    def __call__(self, x: Array, t: Array, cond: Any = None) -> Array:
        """(B,)."""
        return self.function(*self.at(x, cond), cond)


@register_dataclass
@dataclass(frozen=True)
class HeldDenoiser(Held):
    """The same of a denoiser: a site that is given has its value surely."""

    def __call__(self, x: Array, t: Array, cond: Any = None) -> Array:
        """(B, D, K)."""
        logits, known = super().__call__(x, t, cond), cond["known"][..., None]
        surely = jnp.where(known == jnp.arange(self.classes), 0.0, -jnp.inf)
        return jnp.where(known < self.classes, surely, logits)


def told(cond: Any, given: Any, count: int) -> tuple[Array | None, Array | None]:
    """Mask and what is wanted, of a condition; the default of the latter for so many items."""
    cond = cond or {}
    if "given" in cond or given is None:
        return cond.get("mask"), cond.get("given")
    return cond.get("mask"), jnp.broadcast_to(given, (count, len(given)))


def real_sites(mask: Array) -> Array:
    """Which sites are real, (B, D) bool, of the atoms that are, (B, n)."""
    i, j = pairs(mask.shape[1]).T
    return jnp.concatenate([mask, mask[:, i] & mask[:, j]], 1)
