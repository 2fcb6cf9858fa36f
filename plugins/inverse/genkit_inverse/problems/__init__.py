"""Problems whose posterior is known: mixtures of Gaussians with random measurements, Gaussian images."""

from genkit_inverse.problems.gaussian import GaussianImages, gaussian_images
from genkit_inverse.problems.instances import abar, indices, instance, times
from genkit_inverse.problems.mixture import PROCESS, Mixture, Prior

__all__ = ["PROCESS", "GaussianImages", "Mixture", "Prior", "abar", "gaussian_images", "indices", "instance", "times"]
