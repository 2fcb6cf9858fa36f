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
from genkit_crystals.chains.guidance import (
    Answers,
    Known,
    LogOdds,
    Property,
    binned,
    bins_loss,
    computed,
    critic_loss,
    edges_of,
    placed,
    values_of,
)
from genkit_crystals.chains.layout import Layout, Matrices, decode, encode, layout
from genkit_crystals.chains.sites import Sites, sites
from genkit_crystals.chains.steering import Goal, Steering, goal, steered

__all__ = [
    "Answers",
    "Bucketed",
    "CrystalDenoiser",
    "Drawn",
    "Final",
    "Frequencies",
    "Goal",
    "Known",
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
    "binned",
    "bins_loss",
    "computed",
    "critic_loss",
    "decode",
    "edges_of",
    "encode",
    "generate",
    "goal",
    "layout",
    "marginal_loss",
    "placed",
    "process",
    "restricted",
    "sites",
    "steered",
    "values_of",
]
