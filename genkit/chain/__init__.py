"""Feynman-Kac models and the one loop that runs them: plain sampling, SMC and all between."""

from genkit.chain.engine import draw, particle_keys, reweigh, run, start, step
from genkit.chain.types import Kernel, Model, Resampler, State, callable_tree

__all__ = [
    "Kernel",
    "Model",
    "Resampler",
    "State",
    "callable_tree",
    "draw",
    "particle_keys",
    "reweigh",
    "run",
    "start",
    "step",
]
