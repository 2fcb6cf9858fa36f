"""Graphs of weather models: meshes in the plane and on the sphere, their connection to a grid, files, pictures."""

from genkit_weather.graphs.check import check_grid, checked, problems
from genkit_weather.graphs.command import fitting
from genkit_weather.graphs.connect import Connection
from genkit_weather.graphs.graph import Graph, fingerprint, limited, normalised, to_jraph
from genkit_weather.graphs.mesh import Mesh, coordinates
from genkit_weather.graphs.messages import (
    Edges,
    InteractionNet,
    ParallelInteractionNet,
    Perceptron,
    aggregate,
    at_receivers,
    at_senders,
)
from genkit_weather.graphs.store import arrays, from_arrays, load, save

__all__ = [
    "Connection",
    "Edges",
    "Graph",
    "InteractionNet",
    "Mesh",
    "ParallelInteractionNet",
    "Perceptron",
    "aggregate",
    "arrays",
    "at_receivers",
    "at_senders",
    "check_grid",
    "checked",
    "coordinates",
    "fingerprint",
    "fitting",
    "from_arrays",
    "limited",
    "load",
    "normalised",
    "problems",
    "save",
    "to_jraph",
]
