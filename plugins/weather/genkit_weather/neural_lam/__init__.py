"""Neural-LAM (torch): its graphs, its weights, its whole forecasters."""

from genkit_weather.neural_lam.format import NeuralLAM
from genkit_weather.neural_lam.weights import (
    export_neural_lam_weights,
    import_neural_lam_graph,
    import_neural_lam_weights,
)

__all__ = ["NeuralLAM", "export_neural_lam_weights", "import_neural_lam_graph", "import_neural_lam_weights"]
