"""Samplers, one algorithm a file."""

from genkit.diffusion.samplers.dpmpp_2s import DPMpp2S
from genkit.diffusion.samplers.heun import Heun
from genkit.diffusion.samplers.one_step import OneStep, Particle, Table

__all__ = ["DPMpp2S", "Heun", "OneStep", "Particle", "Table"]
