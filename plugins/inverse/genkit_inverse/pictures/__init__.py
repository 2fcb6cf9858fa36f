"""Pictures and arrays in files of users."""

from genkit_inverse.pictures.files import (
    CHANNELS,
    ENDINGS,
    LUMA,
    read_array,
    read_numbers,
    read_picture,
    said,
    write_picture,
)
from genkit_inverse.pictures.restored import Restored

__all__ = [
    "CHANNELS",
    "ENDINGS",
    "LUMA",
    "Restored",
    "read_array",
    "read_numbers",
    "read_picture",
    "said",
    "write_picture",
]
