"""Inverse problems: operators, posterior samplers side by side, problems whose posterior is known."""

from genkit.plugin import Plugin

IMAGES, BITS = "genkit_inverse.images:Images", "genkit_inverse.images:Bits"

plugin = Plugin(
    name="inverse",
    summary="linear inverse problems under diffusion priors",
    experiments={
        "ddsmc_gmm": (
            "genkit_inverse.experiments.ddsmc_gmm:DDSMCGMM",
            "posterior samplers on Gaussian mixtures, where the posterior is known",
        ),
        "peer_table": (
            "genkit_inverse.experiments.peer_table:PeerTable",
            "all posterior samplers side by side on the same mixtures",
        ),
        "d3smc_binary": (
            "genkit_inverse.experiments.d3smc_binary:D3SMCBinary",
            "binary images restored by discrete diffusion, trained here",
        ),
        "digits_prior": (
            "genkit_inverse.experiments.digits_prior:DigitsPrior",
            "train a diffusion model of small images, such as digits",
        ),
        "ddsmc_images": (
            "genkit_inverse.experiments.ddsmc_images:DDSMCImages",
            "posterior samplers on images: operators, PSNR, calibration",
        ),
    },
    datasets={
        "binary_digits": ("genkit_inverse.datasets.binary:BinaryDigits", "1797 handwritten digits of 8 x 8 bits", BITS),
        "digits": ("genkit_inverse.datasets.digits:Digits", "1797 handwritten digits of 8 x 8 cells, bundled", IMAGES),
        "mnist": ("genkit_inverse.datasets.mnist:MNIST", "10 000 handwritten digits of 28 x 28 cells", IMAGES),
        "gaussian_patches": (
            "genkit_inverse.datasets.gaussian_patches:GaussianPatches",
            "correlated Gaussian patches, whose posterior is known",
            IMAGES,
        ),
    },
    models={
        "image_prior": (
            "genkit_inverse.models.image_prior:ImagePrior",
            "a diffusion model of images of one size",
            f"{IMAGES} -> genkit.model.diffusion:Diffusion",
        ),
        "binary_prior": (
            "genkit_inverse.models.binary_prior:BinaryPrior",
            "a discrete diffusion model of binary images",
            f"{BITS} -> genkit_inverse.models.binary_prior:BinaryDiffusion",
        ),
    },
    networks={
        "logit_unet": (
            "genkit_inverse.networks.logits:LogitUNet",
            "U-Net on images of classes",
            "tuple[int, int], int, int",
        ),
    },
    methods={
        "single": ("genkit_inverse.methods:Single", "DDSMC with a single particle, without weights"),
    },
    operators={
        "inpaint_box": ("genkit_inverse.operators:BoxInpainting", "a box in the middle is hidden"),
        "inpaint_random": ("genkit_inverse.operators:RandomInpainting", "random cells are hidden"),
        "inpaint_half": ("genkit_inverse.operators:HalfInpainting", "one half is hidden"),
        "super_resolution": ("genkit_inverse.operators:SuperResolution", "means of blocks"),
        "gaussian_blur": ("genkit_inverse.operators:GaussianBlur", "a Gaussian kernel, mirrored at the edges"),
        "motion_blur": ("genkit_inverse.operators:MotionBlur", "the mean along a line, periodic"),
        "colourisation": ("genkit_inverse.operators:Colourisation", "the mean of the channels"),
        "tomography": ("genkit_inverse.operators:Tomography", "sums along rays, as a dense matrix"),
    },
)
