"""Targets: densities on R^d known up to a constant, of which samples and log Z are wanted. Kind `targets`.

An own one is a class,

    @dataclass(frozen=True)
    class Banana(Target):
        dim: int = 2

        def __call__(self, x):
            return -0.5 * (x[0] ** 2 + (x[1] - x[0] ** 2) ** 2)

or a function,

    @target(dim=2)
    def banana(x):
        return -0.5 * (x[0] ** 2 + (x[1] - x[0] ** 2) ** 2)

and then `--targets my_module:banana`, or ``targets=(banana(),)`` in Python.
"""

from genkit_inverse.targets.data import LGCP, Ionosphere, Sonar
from genkit_inverse.targets.density import Beginning, Density, Normal, Target, Whitened, modes_found, target, whitened
from genkit_inverse.targets.mixtures import GMM40, Mixture2D, StudentT
from genkit_inverse.targets.shapes import Brownian, Funnel, ManyWell, Phi4

__all__ = [
    "GMM40",
    "LGCP",
    "Beginning",
    "Brownian",
    "Density",
    "Funnel",
    "Ionosphere",
    "ManyWell",
    "Mixture2D",
    "Normal",
    "Phi4",
    "Sonar",
    "StudentT",
    "Target",
    "Whitened",
    "modes_found",
    "target",
    "whitened",
]
