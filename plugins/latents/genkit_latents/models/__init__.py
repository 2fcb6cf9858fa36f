"""Autoencoders with a chosen latent metric."""

from genkit_latents.models.agreement import Agreement, agreement, metric_penalty, relative_metric
from genkit_latents.models.rbf import RBFDeviation, fit_rbf
from genkit_latents.models.spaces import Space, space
from genkit_latents.models.vae import VAE, Setting, elbo, importance_bound, make_vae, train_phase

__all__ = [
    "VAE",
    "Agreement",
    "RBFDeviation",
    "Setting",
    "Space",
    "agreement",
    "elbo",
    "fit_rbf",
    "importance_bound",
    "make_vae",
    "metric_penalty",
    "relative_metric",
    "space",
    "train_phase",
]
