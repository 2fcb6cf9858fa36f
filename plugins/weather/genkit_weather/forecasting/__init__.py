"""Forecasts by a trained model from files: `genkit weather-forecast`."""

from genkit_weather.forecasting.inputs import Inputs, given

__all__ = ["Inputs", "given"]
