"""Rewards inside the chain: what is said of a state is what is said of the items that the model foresees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.buffer_callback import buffer_callback

from genkit.discrete import Ordered
from genkit.tree import register_dataclass
from genkit_molecules.rewards import Reward

Array = jax.Array
FORESEEN = 4  # items that are foreseen of a state
LEAST = -20.0  # log-weights below are not told apart before the end, where an item that is not whole has this too


class Wish:
    """The reward of rows of sites, on the host; -inf of items that are not whole. Each text is asked once.

    An error of a reward is kept and not raised: it would come out of a compiled program as another one.
    """

    def __init__(self, layout: Any, reward: Reward):
        self.layout, self.reward = layout, reward
        self.known: dict[str, float] = {}
        self.error: Exception | None = None

    def of(self, texts: Sequence[str | None]) -> np.ndarray:
        """(M,) of texts, SMILES or letters; empty ones are invalid."""
        whole = set(self.layout.whole(texts))
        if new := sorted(whole - self.known.keys()):
            self.known |= zip(new, self.reward(new).tolist(), strict=True)
        return np.array([self.known[text] if text and text in whole else -np.inf for text in texts], float)

    def __call__(self, x: Any, size: Any) -> np.ndarray:
        """(...) float32 of rows x (..., D) of these sizes (...)."""
        x, sizes = np.asarray(x), np.broadcast_to(np.asarray(size), np.shape(x)[:-1])
        try:
            if self.error is None:
                both = np.concatenate([x, sizes[..., None]], -1).reshape(-1, x.shape[-1] + 1)
                rows, places = np.unique(both, axis=0, return_inverse=True)  # many are alike
                texts = self.layout.texts(rows[:, :-1], rows[:, -1])
                return self.of(texts)[places].reshape(sizes.shape).astype(np.float32)
        except Exception as error:  # noqa: BLE001, raised again by `check`
            self.error = error
        return np.full(sizes.shape, -np.inf, np.float32)

    def fill(self, context: Any, out: Any, x: Any, size: Any) -> None:
        """The same, of buffers of a program."""
        np.asarray(out)[...] = self(x, size)

    def traced(self, x: Array, size: Array) -> Array:
        """The same inside of a compiled program.

        On a CPU it reads the program's own buffers: `jax.pure_callback` copies large arguments by the threads that run
        programs, and waits for ever where all of these wait for such a copy.
        """
        shape, how = jax.ShapeDtypeStruct(x.shape[:-1], np.float32), "broadcast_all"
        return jax.lax.platform_dependent(
            x, size, cpu=buffer_callback(self.fill, shape, vmap_method=how),
            default=lambda x, size: jax.pure_callback(self, shape, x, size, vmap_method=how),
        )  # fmt: skip

    def check(self) -> None:
        """Raise what a reward raised."""
        if self.error is not None:
            raise self.error


@register_dataclass
@dataclass(frozen=True)
class Foreseen:
    """log of the mean of exp(strength reward(x_0)) over items x_0 that the denoiser expects of a state.

    A `genkit.steer.StateFunction`. Hidden sites are drawn from their laws, each by itself, with the same noise for all
    states, so it is a function of the state: the twisted potential of sequential Monte Carlo (Wu et al. 2023, arXiv
    2306.17775) for categories. At the end it is the reward itself, so particles tend to
    p(x) exp(strength reward(x)) / Z whatever is foreseen.
    """

    denoiser: Any
    allowed: Any
    """(D, K) bool, the classes of each site; None where they are alike"""
    strength: Any
    wish: Wish = field(metadata={"static": True})
    classes: int = field(metadata={"static": True})
    """K"""
    noisy: bool = field(default=False, metadata={"static": True})
    """whether noise changes sites, and hides none"""

    def __call__(self, x: Array, t: Array, cond: Any = None) -> Array:
        """(n,)."""
        logits = self.denoiser(x, t, cond)
        logits = logits.logits if isinstance(logits, Ordered) else logits
        if self.allowed is not None:
            logits = jnp.where(jnp.asarray(self.allowed), logits, -jnp.inf)
        done = (t == 0)[:, None]
        noise = jax.random.gumbel(jax.random.key(0), (FORESEEN, 1, *logits.shape[1:]))
        shown = done if self.noisy else x != self.classes
        x0 = jnp.where(shown, x, (logits + noise).argmax(-1))
        size = cond["mask"].sum(1)
        reward = self.wish.traced(x0, size[None])
        log_w = jnp.where(reward == -jnp.inf, -jnp.inf, self.strength * reward)
        log_w = jnp.where(done.T, log_w, jnp.maximum(log_w, LEAST))
        return jax.nn.logsumexp(log_w, axis=0) - np.log(FORESEEN)
