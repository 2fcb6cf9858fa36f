"""Trained generators of molecules and sequences, alone and with the critics that steer them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.discrete import ClassifierFree, sample
from genkit.errors import UsageError
from genkit.model import LogYes, Trained
from genkit.steer import ARDG, BSDG, FADG, Potential, guide
from genkit.tree import register_dataclass
from genkit_molecules.layout import Layout
from genkit_molecules.models.discrete import Discrete
from genkit_molecules.rows import Rows

AT_ONCE = 1024  # items that are sampled at a time
PARTICLES = 2500  # at a time
NO, YES, NULL = np.eye(3, dtype=np.float32)  # what a generator is told of a property


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
    budgets: tuple[tuple[int, tuple[int, ...]], ...] = field(default=(), metadata={"static": True})
    """(size, the sites revealed after each of a few network calls); without one, a call a site"""

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

    def sampler(self, size: int) -> Any:
        """The sampler of items of a size."""
        return self.discrete.sampler(self.layout.space(size), dict(self.budgets).get(size))

    def law(self) -> tuple[np.ndarray, np.ndarray]:
        """The sizes that are sampled and their shares, the most frequent one first."""
        order = np.argsort(-self.layout.counts, kind="stable")[: self.sizes]
        share = self.layout.counts[order].astype(float)
        return self.layout.sizes[order], share / share.sum()


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
    """the property; yes is above the threshold"""
    threshold: float = 0.0
    share: float = 0.0
    """of the training set that has it"""

    @property
    def layout(self) -> Layout:
        """Of the items."""
        return self.generator.layout

    def check(self, data: Any) -> None:
        """Refuse data of other elements or letters."""
        self.generator.check(data)


def drawer(model: Generator | Guided, name: str, strength: float = 1.0, look_ahead: bool = True) -> Any:
    """method(key, sampler, shape (count, D)) -> rows (count, D), by the name of a method as ``fadg/10``.

    ardg, bsdg and fadg are steered by the discriminator; discriminator, classifier and both by what they say, looking
    ahead (FADG, and ARDG of one particle) or not (BSDG); cfg is classifier-free guidance, all else the model alone.
    """
    denoiser = model.generator.denoiser
    kind, _, particles = name.partition("/")
    n = int(particles or 1)
    if kind == "cfg":
        free = ClassifierFree({"given": jnp.asarray(NULL)}, strength, of="x0")(denoiser)

        def told(key: Any, sampler: Any, shape: Any) -> Any:
            return sample(key, sampler, free, shape, {"given": jnp.broadcast_to(YES, (shape[0], 3))})

        return told
    if kind == model.generator.discrete.name:
        return lambda key, sampler, shape: sample(key, sampler, denoiser, shape)
    assert isinstance(model, Guided)
    method = {"ardg": lambda n: ARDG(), "bsdg": BSDG, "fadg": FADG}.get(kind)
    if method:
        potential = model.discriminator
    else:
        method = BSDG if not look_ahead else FADG if n > 1 else lambda n: ARDG()
        log_p = LogYes(model.classifier)
        potential = {
            "classifier": Potential((log_p,), (strength,)),
            "discriminator": Potential((model.discriminator,), (1.0,)),
            "both": Potential((model.discriminator, log_p), (1.0, strength)),
        }[kind]

    def draw(key: Any, sampler: Any, shape: Any) -> Any:
        chunk = min(shape[0], max(1, PARTICLES // n))
        return guide(key, method(n), sampler, denoiser, potential, shape, chunk=chunk).x[:, 0]

    return draw


def by_size(model: Generator, seed: int, key: Any, n: int, method: Any) -> list[Rows]:
    """n items by method(key, sampler, (count, D)), of the most frequent sizes, as frequent as in the data."""
    sizes, share = model.law()
    counts = np.random.default_rng(seed).multinomial(n, share)
    found = []
    for size, count in zip(sizes.tolist(), counts, strict=True):
        sampler = model.sampler(size)
        at_once = min(count, AT_ONCE)
        own = jax.random.fold_in(key, size)
        parts = [method(jax.random.fold_in(own, k), sampler, (int(at_once), model.layout.width(size)))
                 for k in range(-(-count // at_once) if count else 0)]  # fmt: skip
        if parts:
            found.append(Rows(size, np.concatenate([np.asarray(p, np.uint8) for p in parts])[:count]))
    return found
