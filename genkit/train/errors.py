"""How a training can end early."""

from __future__ import annotations

import signal as signals

from genkit.errors import GenkitError


class Interrupted(GenkitError):
    """A signal arrived; the training was saved and can be resumed. The command exits with 128 + `signal`."""

    def __init__(self, signal: int, phase: str, step: int, saved: bool = True):
        name = signals.Signals(signal).name
        state = f"was saved at step {step}" if saved else "had not begun"
        super().__init__(f"{name}: training {phase!r} {state}; --resume continues it")
        self.signal, self.step = signal, step


class NonFiniteLoss(GenkitError):
    """The loss or the gradient became NaN or infinite; nothing of it was saved."""
