"""Chains of diffusion under potentials: posterior samples of inverse problems."""

from genkit.steer.daps import DAPS
from genkit.steer.ddrm import DDRM
from genkit.steer.ddsmc import DDSMC
from genkit.steer.guided import DPS, PiGDM
from genkit.steer.mcgdiff import MCGDiff
from genkit.steer.operators import Dense, LinearOperator, Mask, Observation, dense, identity, mask, observe
from genkit.steer.posterior import Draws, Method, posterior
from genkit.steer.schedule import Schedule
from genkit.steer.tds import TDS

__all__ = [
    "DAPS",
    "DDRM",
    "DDSMC",
    "DPS",
    "PiGDM",
    "MCGDiff",
    "TDS",
    "Dense",
    "Draws",
    "LinearOperator",
    "Mask",
    "Method",
    "Observation",
    "Schedule",
    "dense",
    "identity",
    "mask",
    "observe",
    "posterior",
]
