"""Data sets: generated, small real ones, and readers of established layouts."""

from genkit_weather.datasets.era5_uk import ERA5UK
from genkit_weather.datasets.l96 import L96
from genkit_weather.datasets.mdp_zarr import MDP
from genkit_weather.datasets.meps_npy import MEPS
from genkit_weather.datasets.ou import OU
from genkit_weather.datasets.own import Own, from_xarray
from genkit_weather.datasets.qg_global import QGGlobal
from genkit_weather.datasets.qg_host import QGHost
from genkit_weather.datasets.qg_nature import QGNature
from genkit_weather.datasets.synthetic_advection import SyntheticAdvection
from genkit_weather.datasets.weatherbench1 import WeatherBench1
from genkit_weather.datasets.weatherbench2 import WeatherBench2

__all__ = [
    "ERA5UK",
    "L96",
    "MDP",
    "MEPS",
    "OU",
    "Own",
    "QGGlobal",
    "QGHost",
    "QGNature",
    "SyntheticAdvection",
    "WeatherBench1",
    "WeatherBench2",
    "from_xarray",
]
