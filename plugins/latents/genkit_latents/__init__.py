"""Latent spaces with a chosen metric: manifolds, geodesics, densities, models."""

from genkit.plugin import Plugin

plugin = Plugin(
    name="latents",
    summary="geometry of latent spaces",
    experiments={
        "explicit_metric": (
            "genkit_latents.experiments.explicit_metric:ExplicitMetric",
            "autoencoders whose latent metric is chosen, side by side",
        ),
        "poincare_tree": (
            "genkit_latents.experiments.poincare_tree:PoincareTree",
            "data of a tree: hyperbolic against Euclidean codes",
        ),
        "pullback": (
            "genkit_latents.experiments.pullback:PullbackGeodesics",
            "geodesics of a decoder around a hole in the data",
        ),
        "land": (
            "genkit_latents.experiments.land:LandDensity",
            "locally adaptive normals along a half circle",
        ),
        "manifold_diffusion": (
            "genkit_latents.experiments.manifold_diffusion:ManifoldDiffusion",
            "floods and eruptions on the globe by Riemannian flow matching and scores",
        ),
    },
    datasets={
        "digits": ("genkit_latents.datasets.digits:Digits", "8 x 8 digits of scikit-learn"),
        "mnist": ("genkit_latents.datasets.digits:MNIST", "the 10 000 test images of MNIST"),
        "tree": ("genkit_latents.datasets.tree:Tree", "noisy branching diffusion on a tree, generated"),
        "shape": (
            "genkit_latents.datasets.shapes:Shape",
            "half circle, moons, hole, swiss roll, generated",
        ),
        "events": ("genkit_latents.datasets.events:Events", "volcanic eruptions and floods on the sphere"),
        "karate": ("genkit_latents.datasets.karate:Karate", "Zachary's karate club, a graph"),
    },
    benchmarks={
        "geodesics": ("genkit_latents.benchmarks:Geodesics", "speed and error of geodesic solvers"),
    },
    networks={
        "waves": ("genkit_latents.networks.waves:Waves", "perceptron on random waves, for fields with fine detail"),
        "coder": ("genkit_latents.networks.coder:Coder", "encoder and decoder for a latent manifold"),
    },
)
