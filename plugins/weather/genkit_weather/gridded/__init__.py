"""Gridded data of any file in one form: what the names, dates, units and coordinates of files mean.

`opened(pattern)` gives an xarray Dataset with dimensions time (or start and step), y and x, whatever the file calls
them, `understood` does so with data sets that are open already; `weather` makes weather data of it, with splits;
`to_xarray` goes back.
"""

from genkit_weather.gridded.files import decoded, grib_library, open_path, paths_of, readable, stamp
from genkit_weather.gridded.grid import neighbours
from genkit_weather.gridded.layers import Layers, finite, key, sample
from genkit_weather.gridded.opened import opened, understood
from genkit_weather.gridded.split import SHORTEST, Piece, cut, gaps, long_enough
from genkit_weather.gridded.times import durations, usual_step
from genkit_weather.gridded.units import accumulated, convert, factor
from genkit_weather.gridded.weather import weather
from genkit_weather.gridded.wind import angle, found, turned
from genkit_weather.gridded.write import to_xarray

__all__ = [
    "SHORTEST",
    "Layers",
    "Piece",
    "accumulated",
    "angle",
    "convert",
    "cut",
    "decoded",
    "durations",
    "factor",
    "finite",
    "found",
    "gaps",
    "grib_library",
    "key",
    "long_enough",
    "neighbours",
    "open_path",
    "opened",
    "paths_of",
    "readable",
    "sample",
    "stamp",
    "to_xarray",
    "turned",
    "understood",
    "usual_step",
    "weather",
]
