"""Forecasts of a limited area as pure functions: conditioning, target, losses, rollout.

What is told and predicted is that of Diffusion-LAM (Larsson et al. 2025, arXiv 2502.07532); Graph-LAM shares it.
"""

from genkit_weather.lam.crps import Generator, Score, crps_loss
from genkit_weather.lam.domain import Domain, Formulation, Inputs, advance, condition, first_guess, target
from genkit_weather.lam.examples import Batch, Examples
from genkit_weather.lam.fitting import changes, domain_of
from genkit_weather.lam.graph import GraphForecaster, graph_loss
from genkit_weather.lam.latent import LatentForecaster, LatentWeights, latent_loss
from genkit_weather.lam.leads import Coupling, check_deterministic, draws_on_the_way, mixing
from genkit_weather.lam.limits import Limits
from genkit_weather.lam.loss import (
    Augmentation,
    augment,
    diffusion_loss,
    guess_error,
    mean_error,
    mean_loss,
    smooth_noise,
)
from genkit_weather.lam.model import Forecaster, MeanModel, Sampled, denoising_problem
from genkit_weather.lam.rollout import Outlook, Stepper, forecast, rollout
from genkit_weather.lam.times import STEP, Times
from genkit_weather.lam.unroll import unroll
from genkit_weather.lam.windows import Window, Windows

__all__ = [
    "STEP",
    "Augmentation",
    "Batch",
    "Coupling",
    "Domain",
    "Examples",
    "Forecaster",
    "Formulation",
    "Generator",
    "GraphForecaster",
    "Inputs",
    "LatentForecaster",
    "LatentWeights",
    "Limits",
    "MeanModel",
    "Outlook",
    "Sampled",
    "Score",
    "Stepper",
    "Times",
    "Window",
    "Windows",
    "advance",
    "augment",
    "changes",
    "check_deterministic",
    "condition",
    "crps_loss",
    "denoising_problem",
    "diffusion_loss",
    "domain_of",
    "draws_on_the_way",
    "first_guess",
    "forecast",
    "graph_loss",
    "guess_error",
    "latent_loss",
    "mean_error",
    "mean_loss",
    "mixing",
    "rollout",
    "smooth_noise",
    "target",
    "unroll",
]
