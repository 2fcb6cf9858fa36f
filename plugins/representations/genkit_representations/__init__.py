"""Representations: prototypes that do not collapse, likelihood of features, learning curves in closed form."""

from genkit.plugin import Plugin

plugin = Plugin(
    name="representations",
    summary="what representations learn: prototypes, likelihood of features, learning curves",
    commands={
        "prototypes": ("genkit_representations.command:Prototypes", "count the different prototypes of a checkpoint"),
    },
)
