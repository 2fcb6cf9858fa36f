"""Crystals as rows of sites, and the chains that make them: diffusion, given sites, steering by particles."""

from genkit_crystals.chains.bucketed import Bucketed
from genkit_crystals.chains.diffusion import (
    CrystalDenoiser,
    Drawn,
    Final,
    Noise,
    Objective,
    ancestral,
    generate,
    marginal_loss,
    process,
    restricted,
)
from genkit_crystals.chains.frequencies import Frequencies, RowFrequencies
from genkit_crystals.chains.guidance import ENERGY, LogOdds, Property, critic_loss
from genkit_crystals.chains.layout import Layout, Matrices, decode, encode, layout
from genkit_crystals.chains.sites import Sites, sites
from genkit_crystals.chains.steering import Goal, Steering, goal, steered

__all__ = [
    "ENERGY",
    "Bucketed",
    "CrystalDenoiser",
    "Drawn",
    "Final",
    "Frequencies",
    "Goal",
    "Layout",
    "LogOdds",
    "Matrices",
    "Noise",
    "Objective",
    "Property",
    "RowFrequencies",
    "Sites",
    "Steering",
    "ancestral",
    "critic_loss",
    "decode",
    "encode",
    "generate",
    "goal",
    "layout",
    "marginal_loss",
    "process",
    "restricted",
    "sites",
    "steered",
]
