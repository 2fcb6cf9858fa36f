"""Files in the one form."""

import xarray as xr

from genkit_weather.gridded.fields import fields
from genkit_weather.gridded.files import open_path, paths_of
from genkit_weather.gridded.join import Part, joined


def opened(pattern: str, levels: tuple[float, ...] = ()) -> xr.Dataset:
    """All files of a pattern as one data set of the form of `fields`; values are read when they are needed.

    Raises:
        DataError: files that cannot be read, understood or joined.
    """
    parts: list[Part] = [(path, fields(file, path, levels)) for path in paths_of(pattern) for file in open_path(path)]
    return joined(parts)
