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
- `AnnealedImportance`, `ParallelTempering`: the same path without resampling, and all of it at once; `bridge`: the
  ratio of two constants from samples of both;
- `Twisted`: normal chains that look ahead; `FactorGraph`, `LatentGaussian`, `PolyaUrn`, `MixedGraph`: graphical
  models that look ahead by a deterministic approximation (`genkit.smc.graphs`);
- `variance`, `log_z_variance`: how accurate a run was;
- `sample_paths`, `two_filter`: smoothing; `controlled`: twisting that is learned; `sqmc`: by quasi-random points;
- `SMC2`: parameters of state-space models, datum by datum;
- `sample_path`, `particle_gibbs`, `pmmh`, `pimh`: particle Markov chain Monte Carlo.
"""

from genkit.smc.annealing import AnnealedImportance
from genkit.smc.bridge import bridge
from genkit.smc.conditional import Path, particle_gibbs, pimh, pmmh, sample_path
from genkit.smc.controlled import controlled
from genkit.smc.devices import Global, Islands
from genkit.smc.graphs import (
    ORDERS,
    FactorGraph,
    Factors,
    LatentGaussian,
    Messages,
    MixedGraph,
    PolyaUrn,
    belief_propagation,
    dirichlet_ep,
    factor_graph,
    gaussian_ep,
    laplace,
    variable_order,
)
from genkit.smc.ibis import IBIS
from genkit.smc.moves import HMC, MALA, Independent, RandomWalk, defined
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
from genkit.smc.smc2 import SMC2
from genkit.smc.smoothing import Populations, populations, sample_paths, two_filter
from genkit.smc.sqmc import sqmc
from genkit.smc.tempering import Progress, Tempering, next_exponent
from genkit.smc.twisting import NormalChain, Quadratic, Twisted, twist_normal
from genkit.smc.variance import evidence_variance, founders, log_z_variance, variance

__all__ = [
    "HMC",
    "IBIS",
    "MALA",
    "ORDERS",
    "SCHEMES",
    "SMC2",
    "AnnealedImportance",
    "FactorGraph",
    "Factors",
    "Global",
    "Independent",
    "Islands",
    "LatentGaussian",
    "Messages",
    "MixedGraph",
    "NormalChain",
    "ParallelTempering",
    "Path",
    "PersistentSampling",
    "PolyaUrn",
    "Populations",
    "Progress",
    "Quadratic",
    "RandomWalk",
    "Resample",
    "SMCResult",
    "Swapped",
    "Tempering",
    "Twisted",
    "belief_propagation",
    "branching",
    "bridge",
    "conditional_killing",
    "conditional_multinomial",
    "conditional_systematic",
    "controlled",
    "defined",
    "dirichlet_ep",
    "ess",
    "evidence_variance",
    "factor_graph",
    "founders",
    "gaussian_ep",
    "killing",
    "laplace",
    "log_z_variance",
    "multinomial",
    "next_exponent",
    "particle_gibbs",
    "pimh",
    "pmmh",
    "populations",
    "residual",
    "sample_path",
    "sample_paths",
    "smc",
    "sqmc",
    "ssp",
    "stratified",
    "systematic",
    "twist_normal",
    "two_filter",
    "variable_order",
    "variance",
]
