"""Graphical models by SMC: one variable after the other, with a look ahead by a deterministic approximation.

Lindsten, Helske, Vihola, Graphical model inference: Sequential Monte Carlo meets deterministic approximations (2018).
A graphical model has `approximations`, by name; `model(approximation, order)`, the Feynman-Kac model twisted by one of
them (None is plain SMC), whose log_z estimates log Z; and `exact()`, log Z where it can be computed.
"""

from genkit.smc.graphs.factors import FactorGraph, Factors, factor_graph
from genkit.smc.graphs.gaussian import LatentGaussian
from genkit.smc.graphs.mixed import MixedGraph
from genkit.smc.graphs.orders import ORDERS, variable_order
from genkit.smc.graphs.propagation import Messages, belief_propagation
from genkit.smc.graphs.sites import gaussian_ep, laplace
from genkit.smc.graphs.urn import PolyaUrn, dirichlet_ep

__all__ = [
    "ORDERS",
    "FactorGraph",
    "Factors",
    "LatentGaussian",
    "Messages",
    "MixedGraph",
    "PolyaUrn",
    "belief_propagation",
    "dirichlet_ep",
    "factor_graph",
    "gaussian_ep",
    "laplace",
    "variable_order",
]
