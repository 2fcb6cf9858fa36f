"""What networks are told, and of what sizes it is."""

from dataclasses import dataclass, field, replace
from typing import Any

import jax

from genkit.tree import register_dataclass


@register_dataclass
@dataclass(frozen=True)
class Conditioning:
    """What the network sees besides the noisy target, standardised; n items, an interior of h x w cells."""

    interior: jax.Array
    """(n, h, w, Ci): past states, static fields, first guess"""
    frame: jax.Array
    """(n, cells, Cf): the future frame, past states, static fields, in the order of `genkit_weather.area`"""
    scalars: jax.Array
    """(n, G): forcing that is the same everywhere; G may be 0"""
    key: Any = field(default=None)
    """dropout is on where a key is given"""
    lead: Any = None
    """(n,) lead time over 240 h, of a model that knows several"""
    latent: Any = None
    """(n, Z) latent variable, in place of a noisy target and its level"""
    graph: Any = None
    """of a network whose graph is a file's, the same for all items"""


@dataclass(frozen=True)
class Sizes:
    """Static sizes of a limited area and of its conditioning."""

    grid: tuple[int, int]
    frame: tuple[int, int]
    interior: int
    """channels Ci of the interior conditioning, without the target"""
    boundary: int
    """channels Cf of the frame"""
    scalars: int
    outputs: int
    """variables V"""
    lead: bool = False
    """whether a lead time is told"""
    latent: int = 0
    """numbers Z of a latent variable; 0 where there is a noisy target"""
    spacing: float | None = None
    """km of a side of a cell, where it is known"""

    def around(self, channels: int) -> "Sizes":
        """The same with nodes of a second data set, of so many channels, in place of the frame."""
        return replace(self, boundary=channels)

    @property
    def cells(self) -> int:
        """Channels of an interior cell: of the conditioning and of a noisy target."""
        return self.interior if self.latent else self.interior + self.outputs
