"""Files in the one form."""

from collections.abc import Iterable

import xarray as xr

from genkit.errors import DataError
from genkit_weather.gridded.fields import fields
from genkit_weather.gridded.files import Damaged, open_path, paths_of, readable
from genkit_weather.gridded.join import joined
from genkit_weather.gridded.names import role


def opened(pattern: str, levels: tuple[float, ...] = ()) -> xr.Dataset:
    """All files of a pattern as one data set of the form of `fields`; values are read when they are needed.

    Of several files those that are damaged are left out, which is noted.

    Raises:
        DataError: a file that cannot be read, or none; files that cannot be understood or joined.
    """
    paths, files, bad = paths_of(pattern), [], []
    for path in paths:
        try:
            files += [(path, file) for file in open_path(path)]
        except Damaged as error:
            bad.append(str(error))
    if not files:
        raise DataError(bad[0] if len(bad) == 1 else f"none of {len(bad)} files can be read: {bad[0]}, ...")
    with readable(pattern):
        file = understood(files, levels)
    told = f"left out {len(bad)} of {len(paths)} files: {'; '.join(bad[:3])}{'; ...' if len(bad) > 3 else ''}"
    return file.assign_attrs(notes=(told, *file.attrs["notes"])) if bad else file


def understood(files: Iterable[tuple[str, xr.Dataset]], levels: tuple[float, ...] = ()) -> xr.Dataset:
    """Data sets and what errors call them, as one of the form of `fields`."""
    bare = ((source, file.drop_attrs(deep=False)) for source, file in files)  # their `notes` and `crs` may be anything
    parts = [(source, fields(part, source, levels)) for source, file in bare for part in _by_time(file, source)]
    file = joined(parts, levels)
    for level in levels:
        if not any(str(a.attrs.get("level", "")).startswith(f"{level:g} ") for a in file.data_vars.values()):
            names = ", ".join(map(str, file.data_vars))
            raise DataError(f"{parts[0][0]}: no variable has a level {level:g}; found {names}")
    return file


def _by_time(file: xr.Dataset, source: str) -> list[xr.Dataset]:
    """The file with each of its dimensions of time alone, where it has several (time, time1); more at once are noted.

    Raises:
        DataError: all variables have several.
    """
    times = {str(n): [str(d) for d in a.dims if role(d, file) == "time"] for n, a in file.data_vars.items()}
    along = list(dict.fromkeys(d for dims in times.values() for d in dims))
    if len(along) < 2:
        return [file]
    parts = [file.drop_dims(set(along) - {d}) for d in along]
    parts = [part for part, d in zip(parts, along, strict=True) if any(d in a.dims for a in part.data_vars.values())]
    if not parts:
        raise DataError(f"{source}: each variable is along {' and '.join(along)} at once; write their times along one")
    notes = [f"{n} is along {' and '.join(dims)} at once and left out" for n, dims in times.items() if len(dims) > 1]
    return [part.assign_attrs(notes=tuple(notes)) for part in parts]
