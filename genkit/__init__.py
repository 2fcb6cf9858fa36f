"""genkit: generative modelling research on JAX.

The command line only calls what is here: `config`, `run` and `load`.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["config", "load", "run"]

if TYPE_CHECKING:
    from genkit.experiment import config, load, run


def __getattr__(name: str) -> Any:
    if name in __all__:
        import genkit.experiment

        return getattr(genkit.experiment, name)
    raise AttributeError(f"module 'genkit' has no attribute {name!r}")
