"""Self-distillation with prototypes: objectives, regularisers, and the report of their collapse."""

from genkit_representations.prototypes.files import prototypes_of, read_network, read_prototypes
from genkit_representations.prototypes.losses import distillation, entropy, masked_patches, me_max, moved, sinkhorn
from genkit_representations.prototypes.methods import Method, Objective, Output, objective
from genkit_representations.prototypes.report import EPS, Collapse, Rule, collapse, groups
from genkit_representations.prototypes.spread import apart, koleo, neighbours, unit
from genkit_representations.prototypes.vmf import log_constant

__all__ = [
    "EPS",
    "Collapse",
    "Method",
    "Objective",
    "Output",
    "Rule",
    "apart",
    "collapse",
    "distillation",
    "entropy",
    "groups",
    "koleo",
    "log_constant",
    "masked_patches",
    "me_max",
    "moved",
    "neighbours",
    "objective",
    "prototypes_of",
    "read_network",
    "read_prototypes",
    "sinkhorn",
    "unit",
]
