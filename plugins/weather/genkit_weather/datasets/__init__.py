"""Data sets: generated, small real ones, and readers of established layouts."""

from genkit_weather.datasets.meps_npy import MEPS
from genkit_weather.datasets.qg_host import QGHost
from genkit_weather.datasets.qg_nature import QGNature
from genkit_weather.datasets.weatherbench2 import WeatherBench2

__all__ = ["MEPS", "QGHost", "QGNature", "WeatherBench2"]
