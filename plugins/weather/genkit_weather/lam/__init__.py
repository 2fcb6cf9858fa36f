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
from genkit_weather.lam.model import Forecaster, MeanModel, Sampled, denoising_problem
from genkit_weather.lam.rollout import Outlook, Stepper, forecast, rollout

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
    "Sampled",
    "Stepper",
    "advance",
    "augment",
    "condition",
    "denoising_problem",
    "diffusion_loss",
    "first_guess",
    "forecast",
    "guess_error",
    "mean_error",
    "mean_loss",
    "rollout",
    "smooth_noise",
    "target",
]
