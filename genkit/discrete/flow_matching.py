"""Discrete flow matching with masks."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genkit.discrete.ctmc import Euler, EulerStep, log_rate
from genkit.discrete.factorised import Interval, Setting
from genkit.discrete.process import Process, logaddexp
from genkit.discrete.transitions import Mixing
from genkit.errors import UsageError
from genkit.tree import register_dataclass

Array = jax.Array


@register_dataclass
@dataclass(frozen=True)
class RemaskStep(EulerStep):
    """`over` is log(-alpha' dt) and log(eta dt)."""

    def rule(self, process: Mixing, x: Array, logits: Array, u: Interval) -> Array:
        """log(rate dt) to every other state."""
        flow, again = u.over
        hidden = (x == process.data_classes)[..., None]
        # From the mask to k at eta alpha / (1 - alpha) p_k, from any class to the mask at eta: in detailed balance.
        mask_again = jnp.where(jnp.arange(process.states) == process.data_classes, 0.0, -jnp.inf)
        balance = jnp.where(hidden, u.bar.keep - u.bar.renew + logits, mask_again)
        return logaddexp(flow + log_rate(process, u.bar, x, logits), again + balance)

    def normalise(self, log_k: Array, alone: Array, x: Array) -> Array:
        """As in Euler's step, where guidance turns what shows and not what hides again.

        The law given c is balanced by sites that show at the rate for p(x_0 | x_t, c) and hide at the same eta.
        """
        hidden = x == log_k.shape[-1] - 1
        return super().normalise(jnp.where(hidden[..., None], log_k, alone), alone, x)


@dataclass(frozen=True)
class FlowMatching(Euler):
    """Masked flow matching with re-masking (Campbell et al. 2024, arXiv 2402.04997; arXiv 2406.01572).

    A hidden site shows class k at the rate p(x_0 = k | x_t) (-alpha' + eta alpha) / (1 - alpha), a visible one hides
    again at the rate eta: which leaves the law at every time as it is and lets the sampler mend early errors. For
    alpha = 1 - t and in the time 1 - t of these papers, p (1 + eta t) / (1 - t). eta = 0 is `Euler`.
    """

    eta: float = 0.0
    """Rate of hiding again; the more, the more steps it needs (eta dt well below 1)."""

    def __post_init__(self):
        """Check the fields."""
        if self.eta < 0:
            raise UsageError(f"eta={self.eta} is negative; it is the rate at which visible sites are hidden again")

    def kernel(self, setting: Setting) -> RemaskStep:
        """The Euler step with the rate of hiding again."""
        return RemaskStep(setting)

    def over(self, process: Process, times: np.ndarray, between: Any) -> tuple[np.ndarray, np.ndarray]:
        """log(-alpha' dt) and log(eta dt)."""
        if not process.masking:
            raise UsageError("FlowMatching hides sites again, so its process must be masked(...); use Euler for others")
        with np.errstate(divide="ignore"):
            return super().over(process, times, between), np.log(self.eta * -np.diff(times))
