"""Feynman-Kac models and the one loop that runs them: plain sampling, SMC and all between."""

from genkit.chain.engine import draw, log_joint, particle_keys, reweigh, run, run_until, start, step
from genkit.chain.tilt import Tilted, tilt
from genkit.chain.types import Kernel, Model, Resampler, State, callable_tree

__all__ = [
    "Kernel",
    "Model",
    "Resampler",
    "State",
    "Tilted",
    "callable_tree",
    "draw",
    "log_joint",
    "particle_keys",
    "reweigh",
    "run",
    "run_until",
    "start",
    "step",
    "tilt",
]
