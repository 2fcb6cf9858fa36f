"""Models of this plugin: recipes that train them, and what is trained."""

from genkit_latents.models.agreement import Agreement, agreement, metric_penalty, relative_metric
from genkit_latents.models.autoencoder import NAMED, Autoencoder
from genkit_latents.models.introspective import IntroVAE
from genkit_latents.models.land import LandMixture
from genkit_latents.models.manifold_density import METHODS, ManifoldDensity
from genkit_latents.models.players import SYSTEMS, Introspective, priors_seen
from genkit_latents.models.rbf import RBFDeviation, fit_rbf
from genkit_latents.models.spaces import Space, is_space, space
from genkit_latents.models.training import Setting
from genkit_latents.models.vae import VAE, elbo, importance_bound

__all__ = [
    "METHODS",
    "NAMED",
    "SYSTEMS",
    "VAE",
    "Agreement",
    "Autoencoder",
    "IntroVAE",
    "Introspective",
    "LandMixture",
    "ManifoldDensity",
    "RBFDeviation",
    "Setting",
    "Space",
    "agreement",
    "elbo",
    "fit_rbf",
    "importance_bound",
    "is_space",
    "metric_penalty",
    "priors_seen",
    "relative_metric",
    "space",
]
