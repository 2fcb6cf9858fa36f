"""Critics: log-odds of yes against no at states on the way to data, by which a generator is steered.

For a discriminator yes are data and no are samples of the generator; for a classifier yes are items with a property.
A critic begins with the generator's weights (`genkit.nn.transfer`) and is kept where its validation loss is least.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from genkit.errors import UsageError
from genkit.kinds import Optimizer
from genkit.model.recipe import Recipe
from genkit.train import AdamW, learn
from genkit.tree import register_dataclass

HELD = 10  # one of so many items of each kind is held out for validation
TESTED = 512  # items of a validation at most, spread evenly
NOISES = 4  # noises under which they are seen


@register_dataclass
@dataclass(frozen=True)
class Critic:
    """Log-odds of yes at a state, (x, t, cond) -> (n,); a `genkit.steer.StateFunction`.

    Trained on both kinds equally often, the network is at its best log p(x_t | yes) - log p(x_t | no): of data against
    samples the ratio of their laws. With the log-odds of yes among the data it is that of p(yes | x_t).
    """

    network: Any
    """(x, t, cond) -> (n,), log-odds where both kinds are equally frequent"""
    prior: Any = 0.0
    """log-odds of yes before anything is seen"""

    def __call__(self, x: Any, t: Any, cond: Any = None) -> jax.Array:
        """(n,)."""
        return self.network(x, t, cond) + self.prior


@register_dataclass
@dataclass(frozen=True)
class LogYes:
    """log p(yes | x_t) of a critic, (n,): the potential that steers to yes."""

    critic: Any

    def __call__(self, x: Any, t: Any, cond: Any = None) -> jax.Array:
        """(n,)."""
        return jax.nn.log_sigmoid(self.critic(x, t, cond))


@dataclass(frozen=True)
class Labelled:
    """Items and what they are; of those of two kinds both equally often: the fewer ones are repeated."""

    places: np.ndarray
    """(n,) int, which items; those of yes first"""
    yes: np.ndarray
    """(n,) bool, or float, how probably"""

    @property
    def some(self) -> Labelled:
        """Those of a validation."""
        every = slice(None, None, max(1, len(self.places) // TESTED))
        return Labelled(self.places[every], self.yes[every])


def divided(yes: Any, seed: int, what: str = "items") -> tuple[Labelled, Labelled]:
    """Items of which `yes` (M,) bool are yes, for training and a tenth of each kind for validation.

    They are divided before any is repeated, so that none is in both. Where `yes` is how probably an item is yes, float,
    each is there once. Raises `UsageError` for fewer than 2, or than 2 of a kind.
    """
    yes, rng = np.asarray(yes), np.random.default_rng(seed)
    if yes.dtype.kind == "f":
        if len(yes) < 2:
            raise UsageError(f"{len(yes)} {what}; expected at least 2, one of them for validation")
        order, cut = rng.permutation(len(yes)), max(1, len(yes) // HELD)
        train, held = (Labelled(places, yes[places]) for places in (order[cut:], order[:cut]))
        return train, held
    yes = yes.astype(bool)
    kinds = [rng.permutation(np.flatnonzero(yes == kind)) for kind in (True, False)]
    if min(map(len, kinds)) < 2:
        raise UsageError(f"{len(kinds[0])} {what} are yes and {len(kinds[1])} no; expected 2 of each")
    cuts = [max(1, len(one) // HELD) for one in kinds]
    train, held = ([one[part] for one, part in zip(kinds, parts, strict=True)]
                   for parts in ([slice(n, None) for n in cuts], [slice(n) for n in cuts]))  # fmt: skip
    return _balanced(*train), _balanced(*held)


def _balanced(yes: np.ndarray, no: np.ndarray) -> Labelled:
    size = max(len(yes), len(no))
    return Labelled(np.concatenate([np.resize(yes, size), np.resize(no, size)]), np.arange(2 * size) < size)


def log_odds(yes: Any) -> float:
    """Of yes among items (M,) bool, as `Critic.prior`."""
    share = float(np.mean(yes))
    return math.log(share / (1 - share))


def learn_critic(
    run: Any,
    name: str,
    loss: Callable[..., Any],
    params: Any,
    examples: Any,
    held_out: Any,
    *,
    optimizer: Optimizer,
    steps: int,
    batch: int,
    near: Any = None,
) -> Any:
    """Train a critic's parameters and return those with the least validation loss; see `genkit.train.learn`.

    Args:
        run: a `genkit.experiment.Run`.
        name: of the phase.
        loss: ``loss(params, aux, batch, key, training=True) -> (loss, (aux, metrics))``.
        params: the first parameters, those of the generator where they fit.
        examples: random access to labelled examples of both kinds equally often.
        held_out: one batch of others, for validation.
        optimizer: a component.
        steps: training steps.
        batch: examples of both kinds in a step.
        near: as of `genkit.train.learn`.
    """
    return learn(
        run, name, loss, params, examples, [held_out] * NOISES, optimizer=optimizer.build(steps), steps=steps,
        batch=batch, near=near, clip=1.0, validate=max(10, steps // 20), keep="best",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CriticRecipe(Recipe):
    """Base of recipes that train a generator, sample it, and train critics of it."""

    generated: int = 5000
    """Samples of the model from which the discriminator learns."""
    discriminator_steps: int = 1000
    """Training steps of the discriminator, and of each other critic."""
    discriminator_optimizer: Optimizer = field(default_factory=lambda: AdamW(lr=5e-4))
    """Their optimiser."""

    def __post_init__(self) -> None:
        """Check the sizes."""
        super().__post_init__()
        if self.generated < 20 or self.discriminator_steps < 1:
            raise UsageError(
                f"generated={self.generated} and discriminator_steps={self.discriminator_steps}; expected at "
                "least 20 and 1"
            )
