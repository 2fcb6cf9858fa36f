"""Scores of samples and ensembles: pure functions on arrays, float32 in and out."""

from genkit.metrics.calibration import (
    Flatness,
    Reliability,
    brier,
    exceedance,
    flatness,
    rank_histogram,
    ranks,
    reliability,
)
from genkit.metrics.deterministic import bias, mae, mse, psnr, rmse
from genkit.metrics.ensemble import (
    crps,
    energy_score,
    mean_mse,
    spread,
    spread_skill_ratio,
    variance,
    variogram_score,
)
from genkit.metrics.events import Contingency, Fractions, contingency, fractions
from genkit.metrics.frechet import frechet_distance, frechet_of_samples, frechet_to
from genkit.metrics.gaussian import nll_gaussian
from genkit.metrics.mean import weighted_mean
from genkit.metrics.samples import energy_distance
from genkit.metrics.significance import Difference, paired_bootstrap, stationary_indices, t_interval
from genkit.metrics.sliced import sliced_wasserstein
from genkit.metrics.spectrum import Spectrum, dct_spectrum, log_ratio

__all__ = [
    "Contingency",
    "Difference",
    "Flatness",
    "Fractions",
    "Reliability",
    "Spectrum",
    "bias",
    "brier",
    "contingency",
    "crps",
    "dct_spectrum",
    "energy_distance",
    "energy_score",
    "exceedance",
    "flatness",
    "fractions",
    "frechet_distance",
    "frechet_of_samples",
    "frechet_to",
    "log_ratio",
    "mae",
    "mean_mse",
    "mse",
    "nll_gaussian",
    "paired_bootstrap",
    "psnr",
    "rank_histogram",
    "ranks",
    "reliability",
    "rmse",
    "sliced_wasserstein",
    "spread",
    "spread_skill_ratio",
    "stationary_indices",
    "t_interval",
    "variance",
    "variogram_score",
    "weighted_mean",
]
