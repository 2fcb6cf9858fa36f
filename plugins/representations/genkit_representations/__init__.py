"""Representations: prototypes that do not collapse, likelihood of features, learning curves in closed form."""

from genkit.plugin import Plugin

SAMPLES = "genkit_representations.data:Samples"
SHAPE = "tuple[int, ...]"
DISTILLED = "genkit_representations.models.distilled:Distilled"

plugin = Plugin(
    name="representations",
    summary="what representations learn: prototypes, likelihood of features, learning curves",
    experiments={
        "prototypes": (
            "genkit_representations.experiments.prototypes:PrototypeStudy",
            "self-distillation: how many prototypes are different, with and without a regulariser",
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
    },
    networks={
        "mlp": ("genkit_representations.networks.encoders:MLPEncoder", "perceptron, an encoder", SHAPE),
        "cnn": ("genkit_representations.networks.encoders:CNN", "residual convolutions, an encoder of images", SHAPE),
        "vit": ("genkit_representations.networks.vit:ViT", "vision transformer with DINOv2's options", SHAPE),
    },
    optimizers={
        "dino_adamw": (
            "genkit_representations.models.optimizer:DINOAdamW",
            "AdamW with DINO's rate and growing weight decay",
        ),
    },
    commands={
        "prototypes": ("genkit_representations.command:Prototypes", "count the different prototypes of a checkpoint"),
    },
)
