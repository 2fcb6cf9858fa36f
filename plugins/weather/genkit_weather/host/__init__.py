"""A second data set around a limited area: its boundary, as nodes of their own or in the cells of its frame.

Models on graphs see nodes: `surrounded(area, other, window)`. Models of images have a frame, into which the other data
set is interpolated: `framed(area, other)`.
"""

from genkit_weather.host.frame import HostForecasts, framed
from genkit_weather.host.nodes import Host, HostFields, HostValues, HostWindow, cut, encode, surrounded, surrounding
from genkit_weather.host.starts import possible_starts

__all__ = [
    "Host",
    "HostFields",
    "HostForecasts",
    "HostValues",
    "HostWindow",
    "cut",
    "encode",
    "framed",
    "possible_starts",
    "surrounded",
    "surrounding",
]
