"""Forecasts by a trained model from files: `genkit weather-forecast`."""

from genkit_weather.forecasting.files import ForecastFile, dataset, discard, read, replace_file
from genkit_weather.forecasting.inputs import Inputs, given

__all__ = ["ForecastFile", "Inputs", "dataset", "discard", "given", "read", "replace_file"]
