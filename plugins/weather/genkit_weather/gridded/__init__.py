"""Gridded data of any file in one form: what the names, dates, units and coordinates of files mean.

`opened(pattern)` gives an xarray Dataset with dimensions time (or start and step), y and x, whatever the file calls
them; `weather` makes weather data of it, with splits; `to_xarray` goes back.
"""

from genkit_weather.gridded.opened import opened
from genkit_weather.gridded.units import convert
from genkit_weather.gridded.weather import from_xarray, weather
from genkit_weather.gridded.wind import Wind
from genkit_weather.gridded.write import to_xarray

__all__ = ["Wind", "convert", "from_xarray", "opened", "to_xarray", "weather"]
