"""Sequential Monte Carlo on `genkit.chain`: how populations are resampled, tempered and twisted."""

from genkit.smc.resampling import SCHEMES, Resample, ess
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
from genkit.smc.twisting import Quadratic, Twisted, twist_normal

__all__ = [
    "SCHEMES",
    "Quadratic",
    "Resample",
    "Twisted",
    "branching",
    "conditional_killing",
    "conditional_multinomial",
    "conditional_systematic",
    "ess",
    "killing",
    "multinomial",
    "residual",
    "ssp",
    "stratified",
    "systematic",
    "twist_normal",
]
