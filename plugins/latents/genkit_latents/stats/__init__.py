"""Statistics under a geodesic distance."""

from genkit_latents.stats.cluster import Clusters, geodesic_kmeans, kmedoids, knn_accuracy
from genkit_latents.stats.frechet import Mean, distances, frechet_mean, tangent_pca
from genkit_latents.stats.histograms import Divergences, histogram_divergences
from genkit_latents.stats.land import Land, LandFit, fit_land
from genkit_latents.stats.pictures import PROBES, frechet_whitened, probes
from genkit_latents.stats.scores import Distortion, distortion, gromov_delta

__all__ = [
    "PROBES",
    "Clusters",
    "Distortion",
    "Divergences",
    "Land",
    "LandFit",
    "Mean",
    "distances",
    "distortion",
    "fit_land",
    "frechet_mean",
    "frechet_whitened",
    "geodesic_kmeans",
    "gromov_delta",
    "histogram_divergences",
    "kmedoids",
    "knn_accuracy",
    "probes",
    "tangent_pca",
]
