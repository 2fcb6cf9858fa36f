"""Crystals as wanted, by particles that compete: of a composition or size, under a classifier, with given sites.

The potential of a composition looks ahead. The network's p(x_0 | x_t) gives the mean and variance of how many atoms of
each element a crystal will have, were its rows independent. The potential is the density of what is wanted under a
normal law with these, and the exact condition at the end (`genkit.chain.tilt`, twisted SMC of Wu et al. 2023, arXiv
2306.17775).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import Model
from genkit.discrete import conditioned
from genkit.errors import UsageError
from genkit.smc import Resample
from genkit.steer import Said, WeightedSum, run_groups, tilted
from genkit.tree import register_dataclass
from genkit_crystals.chains.diffusion import CrystalDenoiser, Drawn, buckets, even
from genkit_crystals.chains.guidance import placed
from genkit_crystals.chains.layout import Layout, decode
from genkit_crystals.protostructures import ELEMENTS, Protostructure, numbers

Array = Any
SPREAD = 0.5  # atoms by which an amount may be off before the end


@register_dataclass
@dataclass(frozen=True)
class Goal:
    """What every crystal shall be; make it with `goal`."""

    formula: Array
    """(E,) atoms of each element in the reduced formula; all 0 where any will do."""
    atoms: Array
    """Largest number of atoms in the conventional cell; infinite where any will do."""

    @property
    def elements(self) -> list[int]:
        """Atomic numbers of the formula."""
        return [int(z) + 1 for z in np.flatnonzero(self.formula)]

    def reached(self, crystal: Protostructure | None) -> bool:
        """Whether a crystal is as wanted."""
        if crystal is None or crystal.atoms > self.atoms:
            return False
        amounts = np.bincount(list(crystal.composition), list(crystal.composition.values()), ELEMENTS + 1)[1:]
        return not self.formula.any() or (amounts * self.formula.sum() == self.formula * crystal.atoms).all()


def goal(formula: str | None = None, atoms: int | None = None) -> Goal:
    """A goal of a chemical formula (SrTiO3) and a largest number of atoms; raises UsageError."""
    from pymatgen.core import Composition

    amounts = np.zeros(ELEMENTS)
    if formula is not None:
        try:
            found = Composition(formula).reduced_composition.get_el_amt_dict()
            for element, n in found.items():
                amounts[numbers()[element] - 1] = n
        except (KeyError, IndexError, ValueError) as error:
            raise UsageError(f"formula={formula!r} is no chemical formula of elements 1 to {ELEMENTS}") from error
        if not amounts.any() or (amounts != np.round(amounts)).any():
            raise UsageError(f"formula={formula!r}; expected whole numbers of atoms, such as SrTiO3")
    if atoms is not None and atoms < 1:
        raise UsageError(f"atoms={atoms} is too few")
    return Goal(amounts, np.inf if atoms is None else float(atoms))


@register_dataclass
@dataclass(frozen=True)
class LookAhead:
    """log h of a goal, for particles whose crystals have the space groups `group` (n,)."""

    goal: Goal
    slots: Layout
    group: Array

    def __call__(self, p: Any, u: Any) -> Array:
        """The normal surrogate before the end, 0 or -inf at the end."""
        mean, variance, total = self.amounts(p.logits)
        final, *_ = self.amounts(jax.tree.map(lambda x, k: _exactly(x, k.shape[-1]), p.x, p.logits))
        return jnp.where(u.t > 0, self._surrogate(mean, variance, total), jnp.where(self._exact(final), 0.0, -jnp.inf))

    def amounts(self, log_p: tuple[Array, Array]) -> tuple[Array, Array, Array]:
        """Mean and variance of the atoms of each element, (n, E), and of all together, (n,), of independent rows."""
        (p0, p1) = (jnp.where(jnp.isfinite(a), jnp.exp(a), 0.0) for a in log_p)
        parts = self.slots.fixed.at(self.group), self.slots.free.at(self.group)
        size0, size1 = (jnp.where(part.real, part.multiplicity, 0)[..., None] for part in parts)
        p0 = p0[..., 1:]
        k = jnp.arange(p1.shape[-1])
        mean1 = (p1 * k).sum(-1)
        variance1 = (p1 * k**2).sum(-1) - mean1**2
        mean = (size0 * p0).sum(1) + (size1 * mean1).sum(1)
        free = (size1**2 * variance1).sum(1)
        # the elements of a row without freedom exclude one another: of all together it is occupied or not
        occupied = p0.sum(-1)
        total = (size0[..., 0] ** 2 * occupied * (1 - occupied)).sum(1) + free.sum(-1)
        return mean, (size0**2 * p0 * (1 - p0)).sum(1) + free, total

    def _surrogate(self, mean: Array, variance: Array, total: Array) -> Array:
        wanted = jnp.asarray(self.goal.formula)
        weight = 1 / (jnp.maximum(variance, 0) + SPREAD**2)
        # the multiple of the formula that is nearest
        times = (weight * wanted * mean).sum(-1) / jnp.maximum((weight * wanted**2).sum(-1), 1e-9)
        gap = mean - jnp.maximum(times, 1.0)[:, None] * wanted
        # a normal log-density, in units of that of certain amounts
        density = -0.5 * (weight * gap**2 - jnp.log(weight * SPREAD**2)).sum(-1)
        shape = jnp.where(wanted.any(), density, 0.0)
        std = jnp.sqrt(jnp.maximum(total, 0) + SPREAD**2)
        return shape + jax.scipy.stats.norm.logcdf((self.goal.atoms + 0.5 - mean.sum(-1)) / std)

    def _exact(self, amounts: Array) -> Array:
        wanted, total = jnp.asarray(self.goal.formula), amounts.sum(-1)
        same = (jnp.abs(amounts * wanted.sum() - wanted * total[:, None]) < 0.5).all(-1)
        return jnp.where(wanted.any(), same, True) & (total <= self.goal.atoms) & (total > 0)


def _exactly(x: Array, classes: int) -> Array:
    return jnp.where(x[..., None] == jnp.arange(classes), 0.0, -jnp.inf)


@register_dataclass
@dataclass(frozen=True)
class Steering:
    """What particles compete for: a goal, and what is said of them."""

    goal: Goal
    terms: tuple[Any, ...] = ()
    """log-potentials (x, t, cond) -> (n,) made of `LogOdds`"""
    weights: tuple[Any, ...] = ()
    """one number each, see `genkit.steer.WeightedSum`"""

    def on(self, chain: Model, slots: Layout, group: Array) -> tuple[WeightedSum, ...]:
        """The potential on each stage of a chain whose crystals have the space groups `group` (n,)."""
        ahead, weights = LookAhead(self.goal, slots, group), (1.0, *self.weights)
        terms = [placed(term, slots) for term in self.terms]
        return tuple(WeightedSum((ahead, *(Said(kernel, f) for f in terms)), weights) for kernel, _ in chain.stages)


def steered(
    key: Array,
    denoiser: CrystalDenoiser,
    groups: np.ndarray,
    sampler: Callable[[Layout], Any],
    steering: Steering,
    particles: int = 16,
    batch: int = 16,
    widths: Sequence[int] = (12,),
) -> Drawn:
    """One crystal of each group of particles, by their weights; None where all weights vanished.

    With its log-weight `Drawn.log_w`, log Z of its group, a crystal is a properly weighted sample of the law under the
    potential, however few the particles are.

    Args:
        key: of the run.
        denoiser: with any layout; each bucket of rows has its own.
        groups: (n,) int, space group of each crystal.
        sampler: layout -> `genkit.discrete.Ancestral`, or with given sites `Inpaint`.
        steering: what the particles compete for.
        particles: for each crystal.
        batch: crystals at a time.
        widths: largest numbers of rows of the buckets.
    """
    groups = np.asarray(groups, np.int32)
    out: list[Protostructure | None] = [None] * len(groups)
    log_w = np.zeros(len(groups))
    for slots, places in buckets(groups, widths):
        any_group = np.full(particles, groups[places[0]])
        chain = sampler(slots).model(
            replace(denoiser, slots=slots), slots.shape(particles), any_group, slots.mask(any_group)
        )
        size = even(len(places), batch)
        for first in range(0, len(places), size):
            rows = np.resize(places[first : first + size], size)  # the last chunk is filled up
            model = Competing(chain, steering, slots, particles)
            given = jnp.asarray(groups[rows])
            draws = run_groups(key, model, given, size, particles, Resample(), slots=jnp.asarray(rows))
            log_w[rows] = jnp.where(draws.collapsed, -jnp.inf, draws.log_z)
            x = jax.tree.map(lambda a: a[:, 0], draws.x)
            for place, found in zip(rows, decode(groups[rows], x, slots), strict=True):
                out[place] = found if log_w[place] > -np.inf else None
    return Drawn(out, log_w)


@register_dataclass
@dataclass(frozen=True)
class Competing:
    """The chain of the particles of one crystal, given its space group."""

    chain: Model
    steering: Steering
    slots: Layout
    particles: int = field(metadata={"static": True})

    def __call__(self, group: Array) -> Model:
        """Under the potential."""
        own = jnp.full(self.particles, group)
        chain = conditioned(self.chain, own, self.slots.mask(own))
        return tilted(chain, self.steering.on(chain, self.slots, own))
