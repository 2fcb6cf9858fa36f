"""Densities of features, and detectors of what is unknown."""

from genkit_representations.density.baselines import (
    KNN,
    Gaussian,
    Mahalanobis,
    ViM,
    covariance,
    energy,
    gen,
    kl_matching,
    max_logit,
    mixture,
    msp,
    p_values,
    react,
    typicality,
)
from genkit_representations.density.detection import Detection, aupr, auroc, curve, detection, fpr95_id, fpr95_ood
from genkit_representations.density.gaussian import flow_of_gaussian, moved, scaled
from genkit_representations.density.likelihood import calls, flow_log_prob
from genkit_representations.density.preprocessing import Preprocessing, preprocess
from genkit_representations.density.scoped import kernel_density, ratio, score_and_curvature

__all__ = [
    "KNN",
    "Detection",
    "Gaussian",
    "Mahalanobis",
    "Preprocessing",
    "ViM",
    "aupr",
    "auroc",
    "calls",
    "covariance",
    "curve",
    "detection",
    "energy",
    "flow_log_prob",
    "flow_of_gaussian",
    "fpr95_id",
    "fpr95_ood",
    "gen",
    "kernel_density",
    "kl_matching",
    "max_logit",
    "mixture",
    "moved",
    "msp",
    "p_values",
    "preprocess",
    "ratio",
    "react",
    "scaled",
    "score_and_curvature",
    "typicality",
]
