"""Networks of the weather plugin."""

from genkit_weather.networks.conditioning import Conditioning, Sizes
from genkit_weather.networks.graph_denoiser import GraphDenoiser
from genkit_weather.networks.graph_efm import GraphEFM
from genkit_weather.networks.graph_lam import GraphLAM
from genkit_weather.networks.hi_lam import HiLAM
from genkit_weather.networks.unet import LamUNet

__all__ = ["Conditioning", "GraphDenoiser", "GraphEFM", "GraphLAM", "HiLAM", "LamUNet", "Sizes"]
