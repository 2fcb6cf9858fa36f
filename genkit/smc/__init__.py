"""Sequential Monte Carlo on `genkit.chain`.

- `smc`: a model in one call; its result prints itself;
- `Resample` and its schemes, over several devices `Global` and `Islands`: what `genkit.chain.run` takes;
- `Tempering`, `PersistentSampling`, `IBIS`: samplers of densities, with the MCMC moves `RandomWalk`, `MALA`, `HMC`,
  `Independent`;
- `AnnealedImportance`, `ParallelTempering`: the same path without resampling, and all of it at once; `bridge`: the
  ratio of two constants from samples of both;
- `Twisted`: normal chains that look ahead; `graph_model`: graphs of discrete variables, by `belief_propagation`;
- `variance`, `log_z_variance`: how accurate a run was;
- `sample_path`, `particle_gibbs`, `pmmh`, `pimh`: particle Markov chain Monte Carlo.
"""

from genkit.smc.annealing import AnnealedImportance
from genkit.smc.bridge import bridge
from genkit.smc.conditional import Path, particle_gibbs, pimh, pmmh, sample_path
from genkit.smc.devices import Global, Islands
from genkit.smc.graphical import Messages, PairwiseGraph, belief_propagation, graph_model
from genkit.smc.ibis import IBIS
from genkit.smc.moves import HMC, MALA, Independent, RandomWalk
from genkit.smc.parallel_tempering import ParallelTempering, Swapped
from genkit.smc.persistent import PersistentSampling
from genkit.smc.resampling import SCHEMES, Resample, ess
from genkit.smc.run import SMCResult, smc
from genkit.smc.schemes import (
    branching,
    conditional_killing,
    conditional_multinomial,
    conditional_systematic,
    killing,
    multinomial,
    residual,
    ssp,
    stratified,
    systematic,
)
from genkit.smc.tempering import Progress, Tempering, next_exponent
from genkit.smc.twisting import Quadratic, Twisted, twist_normal
from genkit.smc.variance import evidence_variance, founders, log_z_variance, variance

__all__ = [
    "HMC",
    "IBIS",
    "MALA",
    "SCHEMES",
    "AnnealedImportance",
    "Global",
    "Independent",
    "Islands",
    "Messages",
    "PairwiseGraph",
    "ParallelTempering",
    "Path",
    "PersistentSampling",
    "Progress",
    "Quadratic",
    "RandomWalk",
    "Resample",
    "Swapped",
    "SMCResult",
    "Tempering",
    "Twisted",
    "belief_propagation",
    "branching",
    "bridge",
    "conditional_killing",
    "conditional_multinomial",
    "conditional_systematic",
    "ess",
    "evidence_variance",
    "founders",
    "graph_model",
    "killing",
    "log_z_variance",
    "multinomial",
    "next_exponent",
    "particle_gibbs",
    "pimh",
    "pmmh",
    "residual",
    "sample_path",
    "smc",
    "ssp",
    "stratified",
    "systematic",
    "twist_normal",
    "variance",
]
