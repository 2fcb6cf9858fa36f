"""Masked diffusion whose ancestral steps hide sites again."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genkit.discrete.factorised import Factorised, Interval, Setting, Step
from genkit.discrete.process import Process
from genkit.errors import UsageError
from genkit.tree import register_dataclass

Array = jax.Array


class Again(NamedTuple):
    """Logs of the probabilities of a step, leaves (N,)."""

    hide: Any
    """of a visible site, to hide: sigma"""
    stay: Any
    """of a visible site, to stay"""
    show: Any
    """of a hidden site, to show"""
    wait: Any
    """of a hidden site, to stay hidden"""


@register_dataclass
@dataclass(frozen=True)
class HideAgain(Step):
    """`over` is `Again`."""

    def rule(self, process: Process, x: Array, logits: Array, u: Interval) -> Array:
        """log p(x_s | x_t)."""
        mask = jnp.where(jnp.arange(process.states) == process.data_classes, 0.0, -jnp.inf)
        hidden = (x == process.data_classes)[..., None]
        data, none = jnp.where(hidden, u.over.show, u.over.stay), jnp.where(hidden, u.over.wait, u.over.hide)
        return jnp.where(mask == 0.0, none, data + logits)


@dataclass(frozen=True)
class Remasking(Factorised):
    """Ancestral steps from t to s that hide visible sites again, each with probability sigma: ReMDM.

    Wang et al. 2025 (arXiv 2503.00307): a hidden site shows with probability (alpha_s - (1 - sigma) alpha_t) / (1 -
    alpha_t), so that the share that is visible is alpha_s whatever sigma is, and what was drawn early can be drawn
    anew. sigma is at most min(1, (1 - alpha_s) / alpha_t). eta = 0 is `Ancestral`.
    """

    eta: float = 0.0
    """How much is hidden again, from 0 to 1."""
    rule: Literal["cap", "rescale"] = "cap"
    """sigma is eta where that is possible (cap), or that share of what is possible (rescale)."""

    def __post_init__(self):
        """Check the fields."""
        if not 0 <= self.eta <= 1:
            raise UsageError(f"eta={self.eta}; expected a probability of hiding again, 0 to 1")
        if self.rule not in ("cap", "rescale"):
            raise UsageError(f"rule={self.rule!r}; expected 'cap' or 'rescale'")

    def kernel(self, setting: Setting) -> HideAgain:
        """The posterior with sites hidden again."""
        return HideAgain(setting)

    def over(self, process: Any, times: np.ndarray, between: Any) -> Again:
        """The probabilities, of alpha at both ends of a step."""
        if not process.masking:
            raise UsageError("Remasking hides sites again, so its process must be masked(...)")
        alpha = np.exp(process.bar(times).keep)
        before, after = alpha[:-1], alpha[1:]
        most = np.minimum(1.0, (1 - after) / before)
        sigma = np.minimum(self.eta, most) if self.rule == "cap" else self.eta * most
        show = np.clip((after - (1 - sigma) * before) / (1 - before), 0, 1)
        with np.errstate(divide="ignore"):
            return Again(*map(np.log, (sigma, 1 - sigma, show, 1 - show)))
