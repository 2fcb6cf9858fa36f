"""Gaussian diffusion: processes, denoisers, noise distributions, losses and samplers."""

from genkit.diffusion.denoiser import Denoiser, EDMDenoiser
from genkit.diffusion.loss import denoising_loss
from genkit.diffusion.noise import LogNormal, LogUniform, Noise, Rho, rho_grid
from genkit.diffusion.process import EDM, Process, per_item
from genkit.diffusion.sample import sample
from genkit.diffusion.samplers import DPMpp2S, Heun

__all__ = [
    "EDM",
    "DPMpp2S",
    "Denoiser",
    "EDMDenoiser",
    "Heun",
    "LogNormal",
    "LogUniform",
    "Noise",
    "Process",
    "Rho",
    "denoising_loss",
    "per_item",
    "rho_grid",
    "sample",
]
