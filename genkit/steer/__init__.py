"""Chains under potentials.

Chains of diffusion: posterior samples for measurements y of A(x_0), any Gaussian path.

    from genkit.steer import DDSMC, dense, observe, posterior

    observation = observe(dense(matrix), y, 0.1)               # std, one or one a number; or mask(seen) for the matrix
    draws = posterior(key, DDSMC(steps=20), denoiser, observation, groups=16, particles=256)

| method | chain | network calls of T levels | weights | measures |
|---|---|---|---|---|
| `DDSMC` | decoupled or ancestral, conditioned on y | T, by the flow T (T + 1) / 2 | yes | linear, normal noise |
| `TDS` | DDIM with a twisted score | T, with a derivative | yes | any operator and noise |
| `MCGDiff` | DDIM drawn towards y | T | yes | linear, normal noise |
| `FPS` | DDIM given a measurement at every level | T | yes | linear, normal noise |
| `MMPS` | DDIM guided with the network's covariance | T, with derivatives | no | any operator, normal noise or none |
| `PiGDM` | DDIM guided with one variance | T, with a derivative | no | any operator, normal noise or none |
| `DPS` | DDIM down the distance to y | T, with a derivative | no | any operator, any noise or none |
| `DAPS` | noise, flow back, draw given y | up to 5 T | no | any operator and noise; linear without |
| `DDRM` | DDIM with y in place of what it measures | T | no | linear, normal noise or none |
| `DCPS` | Langevin and variational steps in blocks | 3 T + 150, with a derivative | no | linear, normal noise |
| `REDDiff` | Adam on a point | T = 1000 | no | any operator, normal noise or none |
| `ESSFlow` | slice sampling of the noise of a flow | T a proposal | no | any operator and noise, no derivative |

`DAISI` takes members of a forecast to noise and back, guided by the rule of `MMPS`, `PiGDM` or `DPS`.

A measurement is an operator (`dense` rows, `mask`, `identity`, any `function` such as one through a decoder) and a
noise (one std, one a number, 0, `Poisson`, `Bernoulli`, your `Noise`); a method says in one line what it cannot take.
Linear ones work in the basis of the operator's singular vectors; those with weights estimate log p(y) under their chain
(`FPS` that of a whole sequence, which is none of y). Each is a `genkit.chain.Model`, by `method.model(denoiser,
observation)`.

Discrete data measured site by site, any process of `genkit.discrete`: `D3SMC`, with `channel(y, table, seen)` as the
observation.

Any chain, discrete or Gaussian, under a `StateFunction` such as a discriminator, a classifier or a reward, which looks
at states on the way:

    from genkit.discrete import OrderAgnostic
    from genkit.steer import FADG, guide

    draws = guide(key, FADG(particles=10), OrderAgnostic(classes), denoiser, says, shape=(1000, 28))

| method | calls of the function a step | weights | chains |
|---|---|---|---|
| `BSDG` | 1 | yes | of any sampler |
| `FADG` | one for each class | yes | `OrderAgnostic` |
| `ARDG` | one for each class | no | `OrderAgnostic` |

All groups of particles run in `run_groups`. A `Potential` is (particles, inputs of the step) -> (n,) for any chain;
`said` makes it of a state function, `tilted` puts a chain under it.

A density known up to a constant: `PDDS`, the reverse of its diffusion under a guessed or learned potential.
"""

from genkit.kinds import Method
from genkit.steer.d3smc import D3SMC, Channel, channel
from genkit.steer.daisi import DAISI
from genkit.steer.daps import DAPS
from genkit.steer.dcps import DCPS
from genkit.steer.ddrm import DDRM
from genkit.steer.ddsmc import DDSMC
from genkit.steer.discriminator import ARDG, BSDG, FADG
from genkit.steer.draws import Draws, run_groups
from genkit.steer.ess_flow import ESSFlow
from genkit.steer.fps import FPS
from genkit.steer.guide import guide
from genkit.steer.guided import DPS, MMPS, PiGDM
from genkit.steer.mcgdiff import MCGDiff
from genkit.steer.method import Ended, Schedule, Steps, Table
from genkit.steer.observation import Bernoulli, Noise, Normal, Observation, Poisson, observe
from genkit.steer.operators import (
    Denoising,
    Dense,
    Function,
    LinearOperator,
    Mask,
    Operator,
    RandomMatrix,
    check_matrix,
    dense,
    function,
    identity,
    mask,
)
from genkit.steer.pdds import PDDS, MonteCarloPotential, NaivePotential, standard_normal
from genkit.steer.posterior import posterior, weighs
from genkit.steer.potentials import (
    Potential,
    Said,
    StateFunction,
    WeightedSum,
    classifier_loss,
    discriminator_loss,
    noisy_classifier_loss,
    said,
    tilted,
)
from genkit.steer.reddiff import REDDiff
from genkit.steer.tds import TDS

METHODS = (DDSMC, TDS, MCGDiff, FPS, MMPS, PiGDM, DPS, DAPS, DDRM, DCPS, REDDiff, ESSFlow)
"""All methods for Gaussian diffusion."""

__all__ = [
    "ARDG",
    "BSDG",
    "D3SMC",
    "DAISI",
    "DAPS",
    "DCPS",
    "DDRM",
    "DDSMC",
    "DPS",
    "FADG",
    "FPS",
    "METHODS",
    "MMPS",
    "PDDS",
    "TDS",
    "Bernoulli",
    "Channel",
    "Denoising",
    "Dense",
    "Draws",
    "ESSFlow",
    "Ended",
    "Function",
    "LinearOperator",
    "MCGDiff",
    "Mask",
    "Method",
    "MonteCarloPotential",
    "NaivePotential",
    "Noise",
    "Normal",
    "Observation",
    "Operator",
    "PiGDM",
    "Poisson",
    "Potential",
    "REDDiff",
    "RandomMatrix",
    "Said",
    "Schedule",
    "StateFunction",
    "Steps",
    "Table",
    "WeightedSum",
    "channel",
    "check_matrix",
    "classifier_loss",
    "dense",
    "discriminator_loss",
    "function",
    "guide",
    "identity",
    "mask",
    "noisy_classifier_loss",
    "observe",
    "posterior",
    "run_groups",
    "said",
    "standard_normal",
    "tilted",
    "weighs",
]
