"""Cycles of forecasts and analyses: methods of analysis of one form, the cycle, its scores."""

from genkit_weather.cycling.archive import backgrounds
from genkit_weather.cycling.case import Case, Stations
from genkit_weather.cycling.cycle import Forecasts, Record, cycle
from genkit_weather.cycling.methods import (
    ETKF,
    LETKF,
    OI,
    SDA,
    Analysed,
    Decoupled,
    Expected,
    ForecastOI,
    Free,
    InverseSampling,
    Method,
    OIDiffusion,
)
from genkit_weather.cycling.scores import (
    analysis_scores,
    distance,
    forecast_scores,
    ranks,
    record_scores,
    tables,
    withheld_scores,
)
from genkit_weather.cycling.stations import read_network
from genkit_weather.cycling.tuning import GRIDS, tuned

__all__ = [
    "ETKF",
    "GRIDS",
    "LETKF",
    "OI",
    "SDA",
    "Analysed",
    "Case",
    "Decoupled",
    "Expected",
    "ForecastOI",
    "Forecasts",
    "Free",
    "InverseSampling",
    "Method",
    "OIDiffusion",
    "Record",
    "Stations",
    "analysis_scores",
    "backgrounds",
    "cycle",
    "distance",
    "forecast_scores",
    "ranks",
    "read_network",
    "record_scores",
    "tables",
    "tuned",
    "withheld_scores",
]
