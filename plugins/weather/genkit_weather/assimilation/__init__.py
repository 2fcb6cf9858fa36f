"""Analyses of observations: what stations measure, static covariances, and the Gaussian methods."""

from genkit_weather.assimilation.climate import Climate, Situation
from genkit_weather.assimilation.covariance import Covariance, Shape
from genkit_weather.assimilation.etkf import etkf
from genkit_weather.assimilation.folds import Folds
from genkit_weather.assimilation.letkf import letkf
from genkit_weather.assimilation.network import Network
from genkit_weather.assimilation.observed import Mixed, Observed
from genkit_weather.assimilation.oi import gain, interpolate
from genkit_weather.assimilation.quality import checked, departures
from genkit_weather.assimilation.quantities import ARCTAN, EXCEEDS, LINEAR, SPEED, Quantity, quantity
from genkit_weather.assimilation.taper import distances, taper

__all__ = [
    "ARCTAN",
    "EXCEEDS",
    "LINEAR",
    "SPEED",
    "Climate",
    "Covariance",
    "Folds",
    "Mixed",
    "Network",
    "Observed",
    "Quantity",
    "Shape",
    "Situation",
    "checked",
    "departures",
    "distances",
    "etkf",
    "gain",
    "interpolate",
    "letkf",
    "quantity",
    "taper",
]
