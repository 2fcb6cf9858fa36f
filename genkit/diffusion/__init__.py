"""Gaussian diffusion: processes, denoisers, noise distributions, losses and samplers."""

from genkit.diffusion.denoiser import Denoiser, EDMDenoiser, NetworkDenoiser, Rescaled, process_of
from genkit.diffusion.grids import Grid, rho_grid, time_grid
from genkit.diffusion.loss import MinSNR, denoising_loss
from genkit.diffusion.noise import LogitNormal, LogNormal, LogUniform, Noise, Rho, Uniform
from genkit.diffusion.process import DDPM, EDM, VE, VP, Cosine, Flow, Process, SubVP, per_item
from genkit.diffusion.sample import sample
from genkit.diffusion.samplers import (
    DDIM,
    RK3,
    RK4,
    Ancestral,
    Consistency,
    DPMpp2M,
    DPMpp2S,
    DPMpp3M,
    Euler,
    EulerMaruyama,
    Heun,
    SDEDPMpp2M,
)

__all__ = [
    "DDIM",
    "DDPM",
    "EDM",
    "RK3",
    "RK4",
    "VE",
    "VP",
    "Ancestral",
    "Consistency",
    "Cosine",
    "DPMpp2M",
    "DPMpp2S",
    "DPMpp3M",
    "Denoiser",
    "EDMDenoiser",
    "Euler",
    "EulerMaruyama",
    "Flow",
    "Grid",
    "Heun",
    "LogNormal",
    "LogUniform",
    "LogitNormal",
    "MinSNR",
    "NetworkDenoiser",
    "Noise",
    "Process",
    "Rescaled",
    "Rho",
    "SDEDPMpp2M",
    "SubVP",
    "Uniform",
    "denoising_loss",
    "per_item",
    "process_of",
    "rho_grid",
    "sample",
    "time_grid",
]
