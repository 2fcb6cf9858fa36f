"""How a training can end early."""

from __future__ import annotations

from genkit import signals
from genkit.errors import GenkitError


class Interrupted(signals.Interrupted):
    """A signal arrived; the training was saved and can be resumed. The command exits with 128 + `signal`."""

    def __init__(self, signal: int, phase: str, step: int, saved: bool = True):
        state = f"was saved at step {step}" if saved else "had not begun"
        super().__init__(signal, f"{signals.name_of(signal)}: training {phase!r} {state}; --resume continues it")
        self.step = step


class NonFiniteLoss(GenkitError):
    """The loss or the gradient became NaN or infinite; nothing of it was saved."""
