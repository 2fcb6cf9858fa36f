"""A chain for another condition."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax

from genkit.chain import Model
from genkit.discrete.autoregressive import OrderedSetting
from genkit.discrete.factorised import PyTree, Setting


def conditioned(model: Model, cond: Any, mask: PyTree = None) -> Model:
    """The model of a sampler here, made with any condition and mask, for others; may be called in compiled code.

    Without a mask that of the model stays.
    """
    own = {"cond": cond} if mask is None else {"cond": cond, "mask": mask}

    def one(a: Any) -> Any:
        return replace(a, **own) if _is_setting(a) else a

    return jax.tree.map(one, model, is_leaf=_is_setting)


def _is_setting(a: Any) -> bool:
    return isinstance(a, Setting | OrderedSetting)
