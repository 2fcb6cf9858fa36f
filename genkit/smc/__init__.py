"""Sequential Monte Carlo on `genkit.chain`: how populations are resampled."""

from genkit.smc.resampling import Resample, ess
from genkit.smc.schemes import systematic

__all__ = ["Resample", "ess", "systematic"]
