"""Discrete diffusion of crystals: process, loss, sampling.

WyckoffDiff, Ekstrom Kelvinius et al. 2025 (arXiv 2502.06485). The space group is given, the rest is D3PM: one process
for the element of rows without freedom, one for the counts of all others, on one schedule of T steps.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from genkit.chain import callable_tree
from genkit.discrete import Ancestral, Mixing, absorbing, cosine_steps, d3pm_terms, marginal, sample, steps, uniform
from genkit.errors import UsageError
from genkit.tree import register_dataclass
from genkit_crystals.chains.frequencies import Frequencies
from genkit_crystals.chains.layout import Layout, decode, layout
from genkit_crystals.protostructures import ELEMENTS, Protostructure, tables

Array = Any
Noise = Literal["uniform", "marginal", "zeros"]
Final = Literal["sample", "argmax", "reference"]


def process(
    noise: Noise, length: int, frequencies: Frequencies, likelihood: bool = True, final: Final = "sample"
) -> tuple[Mixing, Mixing]:
    """The processes of x0 and x1.

    Args:
        noise: what a value is replaced by: "uniform" draws, draws from the "marginal" law, or "zeros", empty.
        length: T, steps of D3PM's cosine schedule.
        frequencies: of the training data; their lengths are the numbers of classes.
        likelihood: see `genkit.discrete.Process.likelihood`; the published model is without.
        final: with "reference" the chain ends one step early, with that step's noise left in the samples: 2e-5 of all
            counts are then drawn anew.
    """
    alphas = cosine_steps(length)
    schedule = steps(alphas[1:] if final == "reference" else alphas)
    parts = []
    for weights in (frequencies.x0, frequencies.x1):
        if noise == "marginal":
            # a value that no crystal has, in data without rows of this kind
            parts.append(marginal(weights if weights.any() else np.ones(len(weights)), schedule, None, likelihood))
        elif noise == "zeros":
            parts.append(absorbing(len(weights), 0, schedule, None, likelihood))
        else:
            parts.append(uniform(len(weights), schedule, None, likelihood))
    return parts[0], parts[1]


@register_dataclass
@dataclass(frozen=True)
class CrystalDenoiser:
    """A network as the denoiser of x = (x0, x1); `cond` is the space group (n,)."""

    network: Any = field(metadata={"static": True})
    """apply(params, x, slots, group, step), where step 0 is the least noisy of 0..T-1."""
    params: Any
    slots: Layout
    prior: tuple[Array, Array] | None = None
    """Log-probabilities by group and row of `RowFrequencies.log`, which the network's answer is added to."""
    elements: Array = None
    """(E,) bool, elements that crystals may have, see `restricted`; all if not given."""
    early: bool = field(default=False, metadata={"static": True})
    """Whether the chain's times are those of `final="reference"`."""

    def __call__(self, x: tuple[Array, Array], t: Array, cond: Any = None) -> tuple[Array, Array]:
        """Logits (n, R0, E + 1) and (n, R1, E, classes)."""
        step = jnp.broadcast_to(jnp.rint(t).astype(int) - (not self.early), cond.shape)
        logits = self.network(self.params, x, self.slots, cond, step)
        if self.prior is not None:
            rows = (part.at(cond).row for part in (self.slots.fixed, self.slots.free))
            first, second = (
                a + jnp.asarray(p)[cond[:, None], row] for a, p, row in zip(logits, self.prior, rows, strict=True)
            )
            logits = first, second
        return logits if self.elements is None else _moved(logits, self.elements)


def restricted(denoiser: CrystalDenoiser, elements: Collection[int]) -> CrystalDenoiser:
    """The denoiser of crystals of some elements only, by atomic number.

    What it gives the others goes to these, in each row in their own proportions: elements are exchanged, and rows are
    occupied as before. To exclude the others alone would leave rows empty that should hold one of them.
    """
    wrong = [z for z in elements if not 1 <= z <= ELEMENTS]
    if wrong or not elements:
        raise UsageError(f"elements {sorted(elements)}; expected atomic numbers 1 to {ELEMENTS}, at least one")
    return replace(denoiser, elements=np.isin(np.arange(1, ELEMENTS + 1), list(elements)))


def _moved(logits: tuple[Array, Array], some: Array) -> tuple[Array, Array]:
    """Logits under which the odds of a row to be occupied, summed over elements, come from `some` alone."""

    def share(log_odds: Array) -> Array:
        own = jax.nn.logsumexp(jnp.where(some, log_odds, -jnp.inf), -1)
        return jnp.where(own > -jnp.inf, jax.nn.logsumexp(log_odds, -1) - own, 0.0)

    x0, x1 = logits
    rise = share(x0[..., 1:])[..., None]
    x0 = jnp.concatenate([x0[..., :1], jnp.where(some, x0[..., 1:] + rise, -jnp.inf)], -1)
    rise = share(jax.nn.logsumexp(x1[..., 1:], -1) - x1[..., 0])[..., None, None]
    x1 = jnp.concatenate([x1[..., :1], jnp.where(some[:, None], x1[..., 1:] + rise, -jnp.inf)], -1)
    return x0, x1


@dataclass(frozen=True)
class Objective:
    """The training loss, in nats.

    sum: cross-entropy of x_0, summed over the variables of a crystal: every crystal counts, whatever its group. ce, as
    published: its mean over them, by which a crystal without free coordinates weighs a hundred times as much as
    another. kl: KL of the reverse step, averaged over rows without freedom and over counts separately, then added, so
    that an element weighs far more than a count; one step from the data it is the cross-entropy. hybrid: kl + weight *
    ce.
    """

    kind: Literal["sum", "ce", "kl", "hybrid"] = "sum"
    """Which loss."""
    weight: float = 0.01
    """Weight of ce in hybrid."""

    def __call__(
        self, key: Array, denoiser: CrystalDenoiser, batch: dict[str, Array], processes: tuple[Mixing, Mixing]
    ) -> tuple[Array, dict[str, Array]]:
        """The loss of a batch, and its parts ce/elements and ce/counts, which share one denominator."""
        group, x = batch["group"], batch["x"]
        slots = denoiser.slots
        _, kl, nll = d3pm_terms(key, denoiser, x, group, processes, slots.mask(group))
        n0, n1 = slots.sites(group)
        per_crystal = [a.reshape(len(a), -1).sum(1) for a in nll]
        parts = {name: (a / (n0 + n1)).mean() for name, a in zip(("elements", "counts"), per_crystal, strict=True)}
        ce = parts["elements"] + parts["counts"]
        metrics = {f"ce/{name}": a for name, a in parts.items()}
        if self.kind == "sum":
            return (per_crystal[0] + per_crystal[1]).mean(), metrics
        if self.kind == "ce":
            return ce, metrics
        bound = sum(
            (a.reshape(len(a), -1).sum(1) / jnp.maximum(n, 1)).mean() for a, n in zip(kl, (n0, n1), strict=True)
        )
        return jnp.asarray(bound) + (self.weight * ce if self.kind == "hybrid" else 0.0), metrics


def marginal_loss(frequencies: Frequencies, sites: tuple[Array, Array]) -> float:
    """Cross-entropy of a predictor that knows the frequencies only, in the units of `Objective.ce`."""

    def entropy(p: np.ndarray) -> float:
        p = p[p > 0]
        return float(-(p * np.log(p)).sum())

    n0, n1 = (np.asarray(n, float) for n in sites)
    return float(((n0 * entropy(frequencies.x0) + n1 * entropy(frequencies.x1)) / (n0 + n1)).mean())


@dataclass(frozen=True)
class Drawn:
    """Sampled crystals in the order in which their groups were asked for; None for one without atoms."""

    crystals: list[Protostructure | None]
    log_w: np.ndarray | None = None
    """(n,) log-weights where particles competed: of each crystal its group's estimate of the potential's mean; -inf
    where no particle was as asked"""

    @property
    def full(self) -> list[Protostructure]:
        """Those with atoms."""
        return [c for c in self.crystals if c is not None]


def buckets(groups: np.ndarray, widths: Sequence[int]) -> list[tuple[Layout, np.ndarray]]:
    """Layouts by number of rows, with the places of the crystals that each takes: attention is quadratic in rows."""
    rows, found, least = tables().rows[groups], [], 0
    for width in (*widths, 27):
        own = np.flatnonzero((rows > least) & (rows <= width))
        least = max(least, width)
        if len(own):
            found.append((layout(groups[own]), own))
    return found


def even(n: int, most: int) -> int:
    """Size of the fewest equal chunks of at most `most`, so that little is drawn for nothing to fill the last one."""
    return -(-n // -(-n // most))


def generate(
    key: Array,
    denoiser: CrystalDenoiser,
    sampler: Any,
    groups: np.ndarray,
    batch: int = 250,
    widths: Sequence[int] = (12,),
) -> Drawn:
    """Crystals of given space groups, in chunks of one shape a bucket of rows.

    Args:
        key: of the run; a crystal depends on it and on its place, not on the chunks.
        denoiser: with any layout; each bucket has its own.
        sampler: such as `genkit.discrete.Ancestral(processes)`.
        groups: (n,) int, space group of each crystal.
        batch: crystals at a time.
        widths: largest numbers of rows of the buckets; the last one holds all others.
    """
    groups = np.asarray(groups, np.int32)
    out: list[Protostructure | None] = [None] * len(groups)
    for slots, places in buckets(groups, widths):
        one = callable_tree(replace(denoiser, slots=slots))
        size = even(len(places), batch)
        for first in range(0, len(places), size):
            rows = np.resize(places[first : first + size], size)  # the last chunk is filled up
            cond, mask = jnp.asarray(groups[rows]), slots.mask(groups[rows])
            x = sample(key, sampler, one, slots.shape(size), cond, mask=mask, slots=jnp.asarray(rows))
            for place, crystal in zip(rows, decode(groups[rows], x, slots), strict=True):
                out[place] = crystal
    return Drawn(out)


def ancestral(processes: tuple[Mixing, Mixing], count: int | None = None, final: Final = "sample") -> Ancestral:
    """The sampler of some processes: all steps, or `count` strides; it ends in a draw or in the likeliest values."""
    return Ancestral(processes, count, argmax=final == "argmax")
