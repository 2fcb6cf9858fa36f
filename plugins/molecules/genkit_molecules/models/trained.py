"""Trained generators of molecules and sequences, alone and with the critics that steer them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from genkit.errors import UsageError
from genkit.model import Request, Trained
from genkit.tree import register_dataclass
from genkit_molecules.items import Graphs, Layout
from genkit_molecules.models.discrete import Discrete


@register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class Generator(Trained):
    """A model of items with discrete sites: molecules or sequences."""

    layout: Layout
    denoiser: Any
    """logits (B, D, K) of rows (B, D)"""
    discrete: Discrete = field(metadata={"static": True})
    """how it was trained and is sampled"""
    sizes: int | None = field(default=None, metadata={"static": True})
    """so many sizes are sampled, the most frequent ones; all if not given"""
    budget: tuple[int, ...] | None = field(default=None, metadata={"static": True})
    """the sites that are revealed after each of a few network calls; a call a site if not given"""

    @property
    def request(self) -> type[Request]:
        """What can be asked of it."""
        return request_for(self.layout)

    @property
    def generator(self) -> Generator:
        """Itself: what a `Guided` model has as a part."""
        return self

    def check(self, data: Any) -> None:
        """Refuse data of other elements or letters."""
        ours, theirs = self.layout.vocabulary, data.layout.vocabulary
        if ours != theirs:
            raise UsageError(f"{self!r} knows {' '.join(ours)}; {data.source} has {' '.join(theirs)}")

    def bound(self, key: jax.Array, x: jax.Array, cond: Any) -> jax.Array:
        """A bound on -log p(x) of rows (B, D), nats an item, a mean; the condition says what is real."""
        space = self.layout.space(cond["mask"].shape[1])
        return self.discrete.loss(key, self.denoiser, x, cond, self.layout.real(cond["mask"]), space)

    def law(self, fits: Callable[[int], bool] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The sizes that are sampled and their shares, the most frequent one first.

        Of those that fit a constraint, if given; of all of the training set where none of the sampled ones fits.
        """
        order = np.argsort(-self.layout.counts, kind="stable")
        for some in (order[: self.sizes], order):
            some = [k for k in some if fits is None or fits(int(self.layout.sizes[k]))]
            share = self.layout.counts[some].astype(float)
            if some:
                return self.layout.sizes[some], share / share.sum()
        has = ", ".join(map(str, sorted(self.layout.sizes.tolist())))
        raise UsageError(f"no item of a size that was learned ({has}) can be like this; take a smaller constraint")

    @property
    def widest(self) -> int:
        """The largest size that is sampled."""
        return int(self.law()[0].max())

    def sampler(self, widest: int | None = None, confident: bool = False) -> Any:
        """The sampler, in rows for items of the largest size, or of another one; a budget is for the largest."""
        widest = widest or self.widest
        budget = self.budget if widest == self.widest else None
        return self.discrete.sampler(self.layout.space(widest), budget, confident)


@register_dataclass
@dataclass(frozen=True, eq=False, repr=False)
class Guided(Trained):
    """A generator with its critics, which see partly hidden items: one model, as neither is of use without the other.

    The discriminator tells data from samples of the generator, the classifier items with a property.
    """

    generator: Generator
    discriminator: Any = None
    classifier: Any = None
    wanted: str = field(default="", metadata={"static": True})
    """the property, or reward; see `certainty`"""
    threshold: float = 0.0
    share: float = 0.0
    """of yes in the training set"""

    @property
    def request(self) -> type[Request]:
        """What can be asked of it."""
        return request_for(self.layout)

    @property
    def layout(self) -> Layout:
        """Of the items."""
        return self.generator.layout

    def check(self, data: Any) -> None:
        """Refuse data of other elements or letters."""
        self.generator.check(data)


def request_for(layout: Layout) -> type[Request]:
    """What can be asked of a model of molecules or of sequences."""
    from genkit_molecules.models import request

    return request.Molecules if isinstance(layout, Graphs) else request.Sequences
