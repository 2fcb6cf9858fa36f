"""Latent spaces with a chosen metric: manifolds, geodesics, densities, models."""

from genkit.plugin import Plugin

plugin = Plugin(
    name="latents",
    summary="geometry of latent spaces",
)
