"""Lorenz's systems, on which methods of assimilation are checked against published figures in seconds."""

from genkit_weather.lorenz.systems import Lorenz63, Lorenz96, System, rk4
from genkit_weather.lorenz.twin import Filter, Twin

__all__ = ["Filter", "Lorenz63", "Lorenz96", "System", "Twin", "rk4"]
