"""Chains under potentials.

Chains of diffusion: posterior samples for linear measurements y = A x_0 + std N(0, I), any Gaussian path.

    from genkit.steer import DDSMC, dense, observe, posterior

    observation = observe(dense(matrix), y, std=0.1)           # or mask(seen), or an operator of your own
    draws = posterior(key, DDSMC(steps=20), denoiser, observation, groups=16, particles=256)

| method | chain | network calls of T levels | weights |
|---|---|---|---|
| `DDSMC` | decoupled or ancestral, conditioned on y | T, by the flow T (T + 1) / 2 | yes |
| `TDS` | DDIM with a twisted score | T, with a derivative | yes |
| `MCGDiff` | DDIM drawn towards y | T | yes |
| `FPS` | DDIM given a measurement at every level | T | yes |
| `PiGDM`, `DPS` | guided DDIM | T, with a derivative | no |
| `DAPS` | noise, flow back, draw given y | up to 5 T | no |
| `DDRM` | DDIM with y in place of what it measures | T | no |
| `DCPS` | Langevin and variational steps in blocks | 3 T + 150, with a derivative | no |
| `REDDiff` | Adam on a point | T = 1000 | no |

All work in the basis of the operator's singular vectors; those with weights estimate log p(y) under their chain (`FPS`
that of a whole sequence). Each is a `genkit.chain.Model`, by `method.model(denoiser, observation)`.

Discrete data measured site by site, any process of `genkit.discrete`: `D3SMC`, with `channel(y, table, seen)` as the
observation.

Chains of categories under a discriminator or a classifier that looks at partial states:

    from genkit.discrete import OrderAgnostic
    from genkit.steer import FADG, guide

    draws = guide(key, FADG(particles=10), OrderAgnostic(classes), denoiser, log_potential, shape=(1000, 28))

| method | calls of the potential a step | weights |
|---|---|---|
| `ARDG` | one for each class | no |
| `BSDG` | 1, the chain of any sampler of `genkit.discrete` | yes |
| `FADG` | one for each class | yes |

A density known up to a constant: `PDDS`, the reverse of its diffusion under a guessed or learned potential.
"""

from genkit.kinds import Method
from genkit.steer.d3smc import D3SMC, Channel, channel
from genkit.steer.daps import DAPS
from genkit.steer.dcps import DCPS
from genkit.steer.ddrm import DDRM
from genkit.steer.ddsmc import DDSMC
from genkit.steer.discriminator import ARDG, BSDG, FADG
from genkit.steer.fps import FPS
from genkit.steer.guide import Guided, guide
from genkit.steer.guided import DPS, PiGDM
from genkit.steer.mcgdiff import MCGDiff
from genkit.steer.operators import (
    Denoising,
    Dense,
    LinearOperator,
    Mask,
    Observation,
    RandomMatrix,
    dense,
    identity,
    mask,
    observe,
)
from genkit.steer.pdds import PDDS, MonteCarloPotential, NaivePotential
from genkit.steer.posterior import Draws, posterior, weighs
from genkit.steer.potentials import LogPotential, Potential, classifier_loss, discriminator_loss, noisy_classifier_loss
from genkit.steer.reddiff import REDDiff
from genkit.steer.schedule import Schedule
from genkit.steer.tds import TDS

__all__ = [
    "ARDG",
    "BSDG",
    "D3SMC",
    "DAPS",
    "DCPS",
    "DDRM",
    "DDSMC",
    "DPS",
    "FADG",
    "FPS",
    "PDDS",
    "PiGDM",
    "MCGDiff",
    "REDDiff",
    "TDS",
    "Channel",
    "Dense",
    "Denoising",
    "Draws",
    "Guided",
    "LinearOperator",
    "LogPotential",
    "Mask",
    "Method",
    "MonteCarloPotential",
    "NaivePotential",
    "Observation",
    "Potential",
    "RandomMatrix",
    "Schedule",
    "channel",
    "classifier_loss",
    "dense",
    "discriminator_loss",
    "guide",
    "identity",
    "mask",
    "noisy_classifier_loss",
    "observe",
    "posterior",
    "weighs",
]
