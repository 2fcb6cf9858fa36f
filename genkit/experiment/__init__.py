"""Experiments, their configuration, run folders and reports."""

from typing import TYPE_CHECKING, Any

from genkit.experiment.config import config, differences, flat, labels, read_yaml, with_options, write_yaml
from genkit.experiment.environment import describe, set_up
from genkit.experiment.experiment import Experiment
from genkit.experiment.folder import Status, held, is_run
from genkit.experiment.inspect import inspect
from genkit.experiment.page import build as build_report
from genkit.experiment.parse import Choice, choose, parse, preset_of
from genkit.experiment.record import Record, run_folders
from genkit.experiment.report import clear as clear_report
from genkit.experiment.report import first_results
from genkit.experiment.run import STAGES, Run
from genkit.experiment.slots import Slot, main_model, slots, walk
from genkit.experiment.start import check_restored, check_seed, load, run
from genkit.experiment.table import Best, Estimate, Link, cell, printed
from genkit.experiment.variants import obtain_variant, settle_variants, variants

if TYPE_CHECKING:
    from genkit.experiment.rehearsal import Rehearsal, costs, rehearse

__all__ = [
    "STAGES",
    "Best",
    "Choice",
    "Estimate",
    "Experiment",
    "Link",
    "Record",
    "Rehearsal",
    "Run",
    "Slot",
    "Status",
    "build_report",
    "cell",
    "check_restored",
    "check_seed",
    "choose",
    "clear_report",
    "config",
    "costs",
    "describe",
    "differences",
    "first_results",
    "flat",
    "held",
    "inspect",
    "is_run",
    "labels",
    "load",
    "main_model",
    "obtain_variant",
    "parse",
    "preset_of",
    "printed",
    "read_yaml",
    "rehearse",
    "run",
    "run_folders",
    "set_up",
    "settle_variants",
    "slots",
    "variants",
    "walk",
    "with_options",
    "write_yaml",
]


def __getattr__(name: str) -> Any:
    # A rehearsal needs jax, a configuration does not: completion stays fast.
    if name in ("Rehearsal", "costs", "rehearse"):
        from genkit.experiment import rehearsal

        return getattr(rehearsal, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
