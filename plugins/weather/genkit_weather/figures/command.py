"""`genkit weather-maps`: pictures of a forecast file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from genkit.errors import UsageError


@dataclass(frozen=True)
class WeatherMaps:
    """Maps and a plume of a forecast file, such as tomorrow's: maps_<variable>.png and plume.png.

    Coasts and borders are drawn where cartopy is installed and has its files here; nothing is fetched.
    """

    file: Annotated[Path, tyro.conf.Positional]
    """The forecast, .nc or .zarr, of `genkit weather-forecast` or of a run."""
    out: Path
    """Folder of the pictures."""
    variables: tuple[str, ...] = ()
    """Which; all by default."""
    start: int = 0
    """Which start of the file, from 0."""
    leads: tuple[float, ...] = ()
    """Hours of the maps; four spread over the forecast by default."""
    members: int = 3
    """Members shown."""
    plume: tuple[str, ...] = ()
    """Place of the plume: latitude and longitude (y and x in km where the file has no degrees), or the name of a
    station or of a town that cartopy's files know; the middle of the area by default."""
    stations: Path | None = None
    """File of stations, for their names."""

    def run(self) -> None:
        """Draw."""
        import numpy as np

        from genkit.errors import DataError
        from genkit_weather import figures
        from genkit_weather.figures.style import chosen
        from genkit_weather.forecasting import DIMS, read
        from genkit_weather.verification import lead_hours

        if self.members < 0:
            raise UsageError(f"--members {self.members} is negative")
        if self.stations is not None and not self.plume:
            raise UsageError(f"--stations {self.stations} is for the name of a station; give it by --plume")
        try:
            with read(self.file) as opened:
                missing = set(DIMS) - set(opened.dims)
                if missing:
                    raise DataError(f"{self.file}: no forecast, it has no dimension {sorted(missing)[0]}")
                if not 0 <= self.start < opened.sizes["start"]:
                    raise UsageError(f"--start {self.start}: the file has starts 0 to {opened.sizes['start'] - 1}")
                fields = [str(n) for n, a in opened.data_vars.items() if set(a.dims) == set(DIMS)]
                for name in self.variables:
                    if name not in fields:
                        raise UsageError(f"{self.file} has no variable {name}; it has {', '.join(fields)}")
                names = list(self.variables) or fields
                if not names:
                    raise DataError(f"{self.file}: no forecast, no variable has the dimensions {', '.join(DIMS)}")
                forecast = opened[names].isel(start=[self.start]).load()
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{self.file}: not a readable forecast file ({error})") from None
        hours = [float(h) for h in lead_hours(forecast)]
        for lead in self.leads:
            if lead not in hours:
                raise UsageError(f"--leads {lead:g}: the file has {', '.join(f'{h:g}' for h in hours)} h")
        leads = [float(h) for h in chosen(self.leads or None, np.asarray(hours), 4)]
        for name in names:
            if not np.isfinite(forecast[name].isel(lead=[hours.index(h) for h in leads])).any():
                raise DataError(
                    f"{self.file}: {name} has no values at {', '.join(f'{h:g}' for h in leads)} h; choose others by "
                    "--variables or --leads"
                )
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--out {self.out} can be no folder ({error.strerror}); choose another") from None
        fy, fx = (int(f) for f in forecast.attrs.get("frame", (0, 0)))
        pictures = {"plume": figures.plume(forecast, None, place=self.plume, stations=self.stations, variables=names)}
        for name in names:
            how = {"leads": leads, "members": self.members, "frame": (fy, fx)}
            pictures[f"maps_{name}"] = figures.forecast_maps(forecast, None, name, **how)
        for name, figure in pictures.items():
            figure.savefig(self.out / f"{name}.png")
            print(self.out / f"{name}.png")
