"""Experiments, their configuration, run folders and reports."""

from genkit.experiment.config import (
    config,
    differences,
    flat,
    labels,
    read_yaml,
    with_options,
    write_yaml,
)
from genkit.experiment.experiment import Experiment
from genkit.experiment.folder import Status, held, is_run
from genkit.experiment.parse import Choice, choose, parse, preset_of
from genkit.experiment.rehearsal import Rehearsal, costs, rehearse
from genkit.experiment.run import STAGES, Run, check_restored, load, run
from genkit.experiment.slots import Slot, slots, walk
from genkit.experiment.variants import obtain_variant, settle_variants, variants

__all__ = [
    "Choice",
    "Experiment",
    "Rehearsal",
    "Run",
    "STAGES",
    "Slot",
    "Status",
    "check_restored",
    "choose",
    "config",
    "costs",
    "differences",
    "flat",
    "held",
    "is_run",
    "labels",
    "load",
    "obtain_variant",
    "parse",
    "preset_of",
    "read_yaml",
    "rehearse",
    "run",
    "settle_variants",
    "slots",
    "variants",
    "walk",
    "with_options",
    "write_yaml",
]
