"""Models of the weather plugin: recipes that train them, and what is trained."""

from genkit_weather.models.area import Area
from genkit_weather.models.cef import CEF, ContinuousModel, calls
from genkit_weather.models.crps import CRPSLAM
from genkit_weather.models.diffusion import Diffusion
from genkit_weather.models.graph import ADAMW, PUBLISHED, GraphLAMRecipe, HiLAMRecipe, published
from genkit_weather.models.latent import GraphEFMRecipe
from genkit_weather.models.oi import OIDiffusion
from genkit_weather.models.snapshot import Snapshot
from genkit_weather.models.state import OIModel, StateModel
from genkit_weather.models.trained import WeatherModel

__all__ = [
    "ADAMW",
    "CEF",
    "CRPSLAM",
    "PUBLISHED",
    "Area",
    "ContinuousModel",
    "Diffusion",
    "GraphEFMRecipe",
    "GraphLAMRecipe",
    "HiLAMRecipe",
    "OIDiffusion",
    "OIModel",
    "Snapshot",
    "StateModel",
    "WeatherModel",
    "calls",
    "published",
]
