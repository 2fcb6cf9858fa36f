"""Forecasts by a trained model from files: `genkit weather-forecast`."""

from genkit_weather.forecasting.files import DIMS, ForecastFile, dataset, discard, read, replace_file
from genkit_weather.forecasting.inputs import Inputs, at_times, forcing_of, given, members_of

__all__ = [
    "DIMS",
    "ForecastFile",
    "Inputs",
    "at_times",
    "dataset",
    "discard",
    "forcing_of",
    "given",
    "members_of",
    "read",
    "replace_file",
]
