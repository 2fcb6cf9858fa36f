"""Samplers, one algorithm a file."""

from genkit.diffusion.samplers.adaptive import Adaptive, integrate
from genkit.diffusion.samplers.ancestral import Ancestral
from genkit.diffusion.samplers.churn import ChurnedSampler
from genkit.diffusion.samplers.consistency import Consistency
from genkit.diffusion.samplers.ddim import DDIM
from genkit.diffusion.samplers.deis import DEIS
from genkit.diffusion.samplers.dpmpp_2m import DPMpp2M, SDEDPMpp2M
from genkit.diffusion.samplers.dpmpp_2s import DPMpp2S
from genkit.diffusion.samplers.dpmpp_3m import DPMpp3M
from genkit.diffusion.samplers.euler import Euler
from genkit.diffusion.samplers.euler_maruyama import EulerMaruyama
from genkit.diffusion.samplers.flow_ode import FlowODE
from genkit.diffusion.samplers.heun import Heun
from genkit.diffusion.samplers.linear import LinearSampler
from genkit.diffusion.samplers.predictor_corrector import PredictorCorrector
from genkit.diffusion.samplers.runge_kutta import RK3, RK4
from genkit.diffusion.samplers.table import Calls, Finish, Particle, Step, Table
from genkit.diffusion.samplers.unipc import UniPC

SAMPLERS = (
    Euler, DDIM, Ancestral, Heun, DPMpp2S, DPMpp2M, DPMpp3M, SDEDPMpp2M, EulerMaruyama, DEIS, UniPC, FlowODE, RK3, RK4,
    PredictorCorrector, Adaptive, Consistency,
)  # fmt: skip
"""All samplers."""

__all__ = [
    "DDIM",
    "DEIS",
    "RK3",
    "RK4",
    "SAMPLERS",
    "Adaptive",
    "Ancestral",
    "Calls",
    "ChurnedSampler",
    "Consistency",
    "DPMpp2M",
    "DPMpp2S",
    "DPMpp3M",
    "Euler",
    "EulerMaruyama",
    "Finish",
    "FlowODE",
    "Heun",
    "LinearSampler",
    "Particle",
    "PredictorCorrector",
    "SDEDPMpp2M",
    "Step",
    "Table",
    "UniPC",
    "integrate",
]
