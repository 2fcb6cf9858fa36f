"""Latent spaces with a chosen metric: manifolds, geodesics, densities, models."""

from genkit.plugin import Plugin

POINTS, EVENTS = "genkit_latents.data:Points", "genkit_latents.data:OnManifold"

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
        "enriched": (
            "genkit_latents.experiments.enriched:Enriched",
            "two moons apart by an ambient metric pulled back",
        ),
        "land": (
            "genkit_latents.experiments.land:LandDensity",
            "locally adaptive normals along a half circle",
        ),
        "introspective": (
            "genkit_latents.experiments.introspective:IntrospectiveStudy",
            "introspective autoencoders whose prior is a third player, on densities of the plane",
        ),
        "manifold_diffusion": (
            "genkit_latents.experiments.manifold_diffusion:ManifoldDiffusion",
            "floods and eruptions on the globe by Riemannian flow matching and scores",
        ),
    },
    datasets={
        "digits": ("genkit_latents.datasets.digits:Digits", "8 x 8 digits of scikit-learn", POINTS),
        "mnist": ("genkit_latents.datasets.digits:MNIST", "the 10 000 test images of MNIST", POINTS),
        "images": ("genkit_latents.datasets.images:Images", "MNIST, Fashion-MNIST or own images of files", POINTS),
        "tree": ("genkit_latents.datasets.tree:Tree", "noisy branching diffusion on a tree, generated", POINTS),
        "rows": ("genkit_latents.datasets.rows:Rows", "own rows of a .npy, .npz or .csv file", POINTS),
        "shape": ("genkit_latents.datasets.shapes:Shape", "half circle, moons, hole, swiss roll, generated", POINTS),
        "plane": ("genkit_latents.datasets.plane:Plane", "Gaussians, spirals, checkerboard, rings, generated", POINTS),
        "events": ("genkit_latents.datasets.events:Events", "volcanic eruptions and floods on the sphere", EVENTS),
        "karate": ("genkit_latents.datasets.karate:Karate", "Zachary's karate club, a graph", POINTS),
    },
    benchmarks={
        "geodesics": ("genkit_latents.benchmarks:Geodesics", "speed and error of geodesic solvers"),
    },
    models={
        "vae": (
            "genkit_latents.models.autoencoder:Autoencoder",
            "a variational autoencoder on a manifold, drawn to its metric",
            f"{POINTS} -> genkit_latents.models.vae:VAE",
        ),
        "introspective": (
            "genkit_latents.models.players:Introspective",
            "an introspective autoencoder with a prior as third player",
            f"{POINTS} -> genkit_latents.models.introspective:IntroVAE",
        ),
        "manifold_density": (
            "genkit_latents.models.manifold_density:ManifoldDensity",
            "a density on a manifold by flow matching or by a score",
            f"{EVENTS} -> genkit_latents.flows.model:ManifoldModel",
        ),
        "land": (
            "genkit_latents.models.land:LandMixture",
            "a mixture of locally adaptive normals",
            f"{POINTS} -> genkit_latents.stats.land:LandFit",
        ),
    },
    networks={
        "waves": (
            "genkit_latents.networks.waves:Waves",
            "perceptron on random waves, for fields with fine detail",
            "int",
        ),
        "perceptron": (
            "genkit_latents.networks.perceptron:Perceptron",
            "perceptron between vectors, as encoder and as decoder",
            "int, int",
        ),
        "residual": (
            "genkit_latents.networks.residual:Residual",
            "residual blocks with batch norm, as encoder and as decoder of images",
            "int, int",
        ),
        "coder": (
            "genkit_latents.networks.coder:Coder",
            "encoder and decoder for a latent manifold",
            "genkit_latents.geometry.manifolds.base:Manifold, int, int",
        ),
    },
)
