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
        from genkit.errors import DataError
        from genkit_weather import figures
        from genkit_weather.forecasting import read
        from genkit_weather.verification import lead_hours

        try:
            with read(self.file) as opened:
                forecast = opened.load()
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{self.file}: not a readable forecast file ({error})") from None
        missing = {"start", "lead", "member", "y", "x"} - set(forecast.dims)
        if missing:
            raise DataError(f"{self.file}: no forecast, it has no dimension {sorted(missing)[0]}")
        names = [n for n in map(str, forecast.data_vars) if "lead" in forecast[n].dims]
        for name in self.variables:
            if name not in names:
                raise UsageError(f"{self.file} has no variable {name}; it has {', '.join(names)}")
        if not 0 <= self.start < forecast.sizes["start"]:
            raise UsageError(f"--start {self.start}: the file has starts 0 to {forecast.sizes['start'] - 1}")
        hours = [float(h) for h in lead_hours(forecast)]
        for lead in self.leads:
            if lead not in hours:
                raise UsageError(f"--leads {lead:g}: the file has {', '.join(f'{h:g}' for h in hours)} h")
        if self.members < 0:
            raise UsageError(f"--members {self.members} is negative")
        frame = tuple(int(f) for f in forecast.attrs.get("frame", (0, 0)))
        names, (fy, fx) = list(self.variables) or names, frame
        place = {"place": self.plume, "stations": self.stations, "variables": names}
        pictures = {"plume": figures.plume(forecast, None, start=self.start, **place)}
        for name in names:
            how = {"start": self.start, "leads": self.leads or None, "members": self.members, "frame": (fy, fx)}
            pictures[f"maps_{name}"] = figures.forecast_maps(forecast, None, name, **how)
        self.out.mkdir(parents=True, exist_ok=True)
        for name, figure in pictures.items():
            figure.savefig(self.out / f"{name}.png")
            print(self.out / f"{name}.png")
