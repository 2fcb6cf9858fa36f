"""Recipes: what is learned and how. A component of the kind `models`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from genkit.errors import GenkitError, UsageError
from genkit.kinds import RESTORED
from genkit.model.files import find, load, read


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Base of recipes: options, and `fit(run, data, start=None)`, which gives a trained model.

    In `fit` with a `start`, statistics, layout and networks come from it, never from the data or the options, and
    `finetune` steps are made.
    """

    fixed: ClassVar[tuple[str, ...]] = ()
    """fields that are part of what was trained, as the network: nothing changes them afterwards"""
    used: ClassVar[tuple[str, ...]] = ()
    """fields that a trained model has as well and that may be changed when it is used, as the sampler"""

    restore: Path | None = None
    """Folder of a trained model (or of its run) to take in place of training."""
    finetune: int = 0
    """Steps to go on with the training of a restored model; 0 uses it as it is."""
    fingerprint: str | None = None
    """Of the restored model; one that has changed is refused."""

    def __post_init__(self) -> None:
        """Subclasses call it before their own checks."""
        if self.finetune < 0:
            raise UsageError(f"finetune={self.finetune} steps are too few; expected 0 or more")
        if self.finetune and self.restore is None:
            raise UsageError(
                f"finetune={self.finetune} needs a trained model to start from; give the path of a run as the model"
            )

    def fit(self, run: Any, data: Any, start: Any = None) -> Any:
        """Train on data in the folder of a run, from `start` where it is given."""
        raise NotImplementedError(f"{type(self).__name__} needs a method fit(run, data, start=None)")

    def check_restored(self, named: Callable[[str], str] = str, trust: bool = False) -> None:
        """Refuse options that a restored model cannot take, and one that has changed since it was chosen.

        `named` gives the name of a field's option.
        """
        if self.restore is None:
            return
        stored = recipe_of(self.restore, trust)
        self._check_fingerprint(stored.fingerprint)
        for f in dataclasses.fields(self):
            now, then = getattr(self, f.name), getattr(stored, f.name)
            if f.name in (*RESTORED, *self.used) or now == then or (self.finetune and f.name not in self.fixed):
                continue
            name, now, then = _difference(named(f.name), now, then)
            option = f"--{named('finetune')} STEPS"
            further = "" if f.name in self.fixed else f", unless {option} goes on with its training"
            raise UsageError(f"--{name} {now}: the model {self.restore} was trained with {then}, which stays{further}")

    def obtain(self, run: Any, data: Any, trust: bool = False) -> Any:
        """The trained model: restored, restored and trained further, or trained from nothing."""
        if self.restore is None:
            return self.fit(run, data)
        start = load(self.restore, trust)
        self._check_fingerprint(start.origin.fingerprint)
        if hasattr(start, "check"):
            start.check(data)
        start = dataclasses.replace(start, **{name: getattr(self, name) for name in self.used})
        return self.fit(run, data, start) if self.finetune else start

    def _check_fingerprint(self, found: str | None) -> None:
        if self.fingerprint not in (None, found):
            raise UsageError(
                f"the model {self.restore} has changed: its fingerprint is {found}, {self.fingerprint} was chosen; "
                "train again, or choose it anew"
            )


def recipe_of(path: str | Path, trust: bool = False) -> Any:
    """The recipe of a trained model, with its folder to restore and its fingerprint: what a slot takes for a path."""
    folder = find(path).absolute()
    page = read(folder, trust)
    if not isinstance(page.recipe, Recipe):
        raise GenkitError(f"{folder} keeps no recipe; it can be used by `genkit.load_model`, not trained further")
    return dataclasses.replace(page.recipe, restore=folder, fingerprint=page.fingerprint)


def _difference(name: str, now: Any, then: Any) -> tuple[str, Any, Any]:
    """The first option in which two values differ."""
    if type(now) is type(then) and dataclasses.is_dataclass(now):
        for f in dataclasses.fields(now):
            one, two = getattr(now, f.name), getattr(then, f.name)
            if one != two:
                return _difference(f"{name}.{f.name}", one, two)
    one, two = (type(v).__name__ if dataclasses.is_dataclass(v) else v for v in (now, then))
    return name, one, two
