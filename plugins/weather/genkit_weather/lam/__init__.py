"""Diffusion-LAM (Larsson et al. 2025, arXiv 2502.07532) as pure functions: conditioning, target, loss, rollout."""

from genkit_weather.lam.domain import Domain, Formulation, Inputs, advance, condition, first_guess, target
from genkit_weather.lam.examples import Batch, Examples
from genkit_weather.lam.loss import (
    Augmentation,
    augment,
    diffusion_loss,
    guess_error,
    mean_error,
    mean_loss,
    smooth_noise,
)
from genkit_weather.lam.model import Forecaster, MeanModel, denoising_problem, forecast_step
from genkit_weather.lam.rollout import Outlook, forecast, rollout

__all__ = [
    "Augmentation",
    "Batch",
    "Domain",
    "Examples",
    "Forecaster",
    "Formulation",
    "Inputs",
    "MeanModel",
    "Outlook",
    "advance",
    "augment",
    "condition",
    "denoising_problem",
    "diffusion_loss",
    "first_guess",
    "forecast",
    "forecast_step",
    "guess_error",
    "mean_error",
    "mean_loss",
    "rollout",
    "smooth_noise",
    "target",
]
