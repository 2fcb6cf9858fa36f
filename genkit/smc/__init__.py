"""Sequential Monte Carlo on `genkit.chain`.

A filter is a kernel that moves particles and weighs them, with the data as its inputs:

    @register_dataclass
    @dataclass(frozen=True)
    class Volatility(Kernel):
        rho: float

        def move(self, keys, x, y):
            return self.rho * x + 0.2 * jax.vmap(jax.random.normal)(keys)

        def log_g(self, x, x1, y):
            return jax.scipy.stats.norm.logpdf(y, 0, jnp.exp(x1 / 2))

    model = Model(lambda keys: (jax.vmap(jax.random.normal)(keys), None), ((Volatility(0.95), returns),))
    print(smc(jax.random.key(0), model, 1000))

- `smc`: a model in one call; its result prints itself;
- `Resample` and its schemes, over several devices `Global` and `Islands`: what `genkit.chain.run` takes;
- `Tempering`, `PersistentSampling`, `IBIS`: samplers of densities, with the MCMC moves `RandomWalk`, `MALA`, `HMC`,
  `Independent`;
- `Twisted`: normal chains that look ahead; `graph_model`: graphs of discrete variables, by `belief_propagation`;
- `variance`, `log_z_variance`: how accurate a run was;
- `sample_path`, `particle_gibbs`, `pmmh`, `pimh`: particle Markov chain Monte Carlo.
"""

from genkit.smc.conditional import Path, particle_gibbs, pimh, pmmh, sample_path
from genkit.smc.devices import Global, Islands
from genkit.smc.graphical import Messages, PairwiseGraph, belief_propagation, graph_model
from genkit.smc.ibis import IBIS
from genkit.smc.moves import HMC, MALA, Independent, RandomWalk
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
    "Global",
    "Independent",
    "Islands",
    "Messages",
    "PairwiseGraph",
    "Path",
    "PersistentSampling",
    "Progress",
    "Quadratic",
    "RandomWalk",
    "Resample",
    "SMCResult",
    "Tempering",
    "Twisted",
    "belief_propagation",
    "branching",
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
