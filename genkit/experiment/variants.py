"""Studies that compare variants of one recipe: a field lists what the variants are, an option of the recipe takes it.

The first variant is the model of the run; the others are trained from nothing also where that is restored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from genkit.errors import UsageError
from genkit.experiment.run import Run


def settle_variants(study: Any, several: str, option: str) -> None:
    """Give the recipe in the slot `model` of a new study the option of the first variant.

    Raises `UsageError` for no variants, and for a restored model that is another one.
    """
    if not getattr(study, several):
        raise UsageError(f"{several} is empty; name at least one")
    first, recipe = getattr(study, several)[0], study.model
    if not hasattr(recipe, option):
        raise UsageError(f"{several}: the recipe {type(recipe).__name__} has no option {option} to tell them apart")
    found = getattr(recipe, option)
    if getattr(recipe, "restore", None) is None:
        object.__setattr__(study, "model", replace(recipe, **{option: first}))
    elif found != first:
        raise UsageError(f"the restored model has {option} {found}; {several} must begin with it, not with {first}")
    variants(study, several, option)  # each is checked when it is made


def variants(study: Any, several: str, option: str) -> dict[str, Any]:
    """Recipes by the names of their results."""
    first, *others = getattr(study, several)
    plain: dict[str, Any] = {"restore": None, "finetune": 0, "fingerprint": None}
    return {str(first): study.model} | {str(one): replace(study.model, **{option: one}, **plain) for one in others}


def obtain_variant(run: Run, recipes: dict[str, Any], name: str, data: Callable[[], Any]) -> Any:
    """The trained model of a variant; see `Run.obtain`."""
    return run.obtain("" if name == next(iter(recipes)) else name, recipes[name], data)
