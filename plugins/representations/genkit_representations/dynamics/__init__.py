"""Learning curves of linear networks: closed forms, the flow, gradient descent, and the cases of double descent."""

from genkit_representations.dynamics.cases import GAMMAS, case, cases
from genkit_representations.dynamics.flow import Regression, descend, flow, regression
from genkit_representations.dynamics.modes import Extremum, Modes, invariant

__all__ = ["GAMMAS", "Extremum", "Modes", "Regression", "case", "cases", "descend", "flow", "invariant", "regression"]
