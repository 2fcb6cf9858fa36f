"""Experiments, their configuration, run folders and reports."""

from genkit.experiment.config import (
    config,
    differences,
    flat,
    labels,
    parse,
    preset_of,
    read_yaml,
    slots,
    with_options,
    write_yaml,
)
from genkit.experiment.experiment import Experiment
from genkit.experiment.folder import Status
from genkit.experiment.rehearsal import Rehearsal, costs, rehearse
from genkit.experiment.run import STAGES, Run, load, run

__all__ = [
    "STAGES",
    "Experiment",
    "Rehearsal",
    "Run",
    "Status",
    "config",
    "costs",
    "differences",
    "flat",
    "labels",
    "load",
    "parse",
    "preset_of",
    "read_yaml",
    "rehearse",
    "run",
    "slots",
    "with_options",
    "write_yaml",
]
