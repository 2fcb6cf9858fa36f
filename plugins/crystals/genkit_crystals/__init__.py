"""Crystals: protostructures, discrete diffusion over Wyckoff positions, evaluation, structure files."""

from genkit.plugin import Plugin

plugin = Plugin(
    name="crystals",
    summary="crystals by symmetry: space group, Wyckoff positions, elements",
)
