"""A limited area: frame and interior, values at the edge, where points lie, what follows from time and place."""

from genkit_weather.area.boundary import harmonic
from genkit_weather.area.forcings import NAMES, angles, hour_of_day, standard_forcing
from genkit_weather.area.frame import frame_of, interior_of, join
from genkit_weather.area.places import EARTH, Method, Places, arc, one_plane, unit_vectors

__all__ = [
    "EARTH",
    "NAMES",
    "Method",
    "Places",
    "angles",
    "arc",
    "frame_of",
    "harmonic",
    "hour_of_day",
    "interior_of",
    "join",
    "one_plane",
    "standard_forcing",
    "unit_vectors",
]
