"""Representations: prototypes that do not collapse, likelihood of features, learning curves in closed form."""

from genkit.plugin import Plugin

SAMPLES = "genkit_representations.data:Samples"
SHAPE = "tuple[int, ...]"
SPLIT, SPLITS = "genkit_representations.data:Split", "genkit_representations.data:Splits"
DENSITY = "genkit_representations.models.density:FeatureDensity"
DISTILLED = "genkit_representations.models.distilled:Distilled"

plugin = Plugin(
    name="representations",
    summary="what representations learn: prototypes, likelihood of features, learning curves",
    experiments={
        "prototypes": (
            "genkit_representations.experiments.prototypes:PrototypeStudy",
            "self-distillation: how many prototypes are different, with and without a regulariser",
        ),
        "images": (
            "genkit_representations.experiments.images:ImageStudy",
            "self-distillation of images with crops and masks, on a long tail",
        ),
        "double_descent": (
            "genkit_representations.experiments.double_descent:DoubleDescent",
            "test errors of linear networks that fall twice, in closed form",
        ),
        "likelihood_ood": (
            "genkit_representations.experiments.likelihood_ood:LikelihoodOOD",
            "the likelihood of features as a test for the unknown, beside other detectors",
        ),
        "gaussian_ood": (
            "genkit_representations.experiments.gaussian_ood:GaussianOOD",
            "likelihoods and detection of normal data beside closed forms",
        ),
    },
    datasets={
        "clusters": (
            "genkit_representations.datasets.clusters:Clusters",
            "Gaussian clusters with a long tail, generated",
            SAMPLES,
        ),
        "digits": ("genkit_representations.datasets.digits:Digits", "1797 digits of 8 x 8, bundled", SAMPLES),
        "mnist": ("genkit_representations.datasets.digits:MNIST", "10 000 digits of 28 x 28", SAMPLES),
        "images": ("genkit_representations.datasets.images:Images", "own images of a folder or an .npz file", SAMPLES),
        "held_out_digits": (
            "genkit_representations.datasets.heldout:HeldOutDigits",
            "digits with two unknown classes, five times",
            SPLITS,
        ),
        "features": ("genkit_representations.datasets.heldout:Features", "own features of an .npz file", SPLITS),
        "normal": ("genkit_representations.datasets.normal:Normal", "normal features of known density", SPLITS),
    },
    models={
        "distillation": (
            "genkit_representations.models.distillation:Distillation",
            "self-distillation of vectors with prototypes",
            f"{SAMPLES} -> {DISTILLED}",
        ),
        "image_distillation": (
            "genkit_representations.models.distillation:ImageDistillation",
            "self-distillation of images with crops and masks",
            f"{SAMPLES} -> {DISTILLED}",
        ),
        "rdm": (
            "genkit_representations.models.rdm:RDM",
            "a diffusion model of features, whose likelihood finds the unknown",
            f"{SPLIT} -> {DENSITY}",
        ),
    },
    networks={
        "feature_mlp": ("genkit_representations.networks.feature_mlp:FeatureMLP", "the network of RDM", "int"),
        "mlp": ("genkit_representations.networks.encoders:MLPEncoder", "perceptron, an encoder", SHAPE),
        "cnn": ("genkit_representations.networks.encoders:CNN", "residual convolutions, an encoder of images", SHAPE),
        "vit": ("genkit_representations.networks.vit:ViT", "vision transformer with DINOv2's options", SHAPE),
    },
    optimizers={
        "dino_adamw": (
            "genkit_representations.models.optimizer:DINOAdamW",
            "AdamW with DINO's rate and growing weight decay",
        ),
        "one_cycle": ("genkit_representations.models.optimizer:OneCycle", "Adam under a rate that rises and falls"),
    },
    benchmarks={
        "speed": ("genkit_representations.benchmarks:Speed", "likelihoods of features, prototypes counted, KoLeo"),
    },
    commands={
        "prototypes": (
            "genkit_representations.commands.prototypes:Prototypes",
            "count the different prototypes of a checkpoint",
        ),
        "encode": ("genkit_representations.commands.encode:Encode", "features of own images by an encoder"),
    },
)
