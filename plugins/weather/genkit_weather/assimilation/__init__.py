"""Analyses of observations: the Gaussian methods."""

from genkit_weather.assimilation.etkf import etkf
from genkit_weather.assimilation.letkf import letkf
from genkit_weather.assimilation.oi import gain, interpolate
from genkit_weather.assimilation.taper import distances, taper

__all__ = ["distances", "etkf", "gain", "interpolate", "letkf", "taper"]
