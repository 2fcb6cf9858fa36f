"""genkit: generative modelling research on JAX.

The command line only calls what is here: `config`, `run`, `load` (a run) and `load_model` (a trained model).
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"
__all__ = ["config", "load", "load_model", "run"]

if TYPE_CHECKING:
    from genkit.experiment import config, load, run
    from genkit.model import load as load_model


def __getattr__(name: str) -> Any:
    if name == "load_model":
        from genkit.model import load

        return load
    if name in __all__:
        import genkit.experiment

        return getattr(genkit.experiment, name)
    raise AttributeError(f"module 'genkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
