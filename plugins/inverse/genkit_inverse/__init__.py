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
        "pgm": ("genkit_inverse.experiments.pgm:PGM", "log Z of graphical models, by SMC with a look ahead"),
        "logz": ("genkit_inverse.experiments.logz:LogZ", "log Z of densities without data, by many estimators"),
        "pdds": (
            "genkit_inverse.experiments.pdds:PDDSStudy",
            "the reverse of a diffusion of a density, with a learned potential",
        ),
    },
    datasets={
        "binary_digits": ("genkit_inverse.datasets.binary:BinaryDigits", "1797 handwritten digits of 8 x 8 bits", BITS),
        "digits": ("genkit_inverse.datasets.digits:Digits", "1797 handwritten digits of 8 x 8 cells, bundled", IMAGES),
        "images": ("genkit_inverse.datasets.images:Folder", "your own images: PNG, JPEG, npy", IMAGES),
        "mnist": ("genkit_inverse.datasets.mnist:MNIST", "10 000 handwritten digits of 28 x 28 cells", IMAGES),
        "pines": (
            "genkit_inverse.datasets.pines:Pines",
            "places of 126 Finnish pines in the unit square",
            "numpy:ndarray",
        ),
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
            f"{IMAGES} -> genkit_inverse.models.image_diffusion:ImageDiffusion",
        ),
        "pretrained": (
            "genkit_inverse.models.imported:Pretrained",
            "a diffusion model of images trained elsewhere, imported",
            f"{IMAGES} -> genkit_inverse.models.image_diffusion:ImageDiffusion",
        ),
        "binary_prior": (
            "genkit_inverse.models.binary_prior:BinaryPrior",
            "a discrete diffusion model of binary images",
            f"{BITS} -> genkit_inverse.models.binary_prior:BinaryDiffusion",
        ),
        "pdds": (
            "genkit_inverse.models.pdds:PDDSPotential",
            "a potential for the reverse of a diffusion of a density",
            "genkit.kinds:Target -> genkit_inverse.models.pdds:LearnedPDDS",
        ),
    },
    networks={
        "logit_unet": (
            "genkit_inverse.networks.logits:LogitUNet",
            "U-Net on images of classes",
            "tuple[int, int], int, int",
        ),
        "potential_mlp": (
            "genkit_inverse.networks.potential:PotentialMLP",
            "the network of PDDS",
            "genkit_inverse.networks.potential:PotentialSizes",
        ),
    },
    targets={
        "mixture2d": ("genkit_inverse.targets.mixtures:Mixture2D", "six unequal normals in the plane"),
        "gmm40": ("genkit_inverse.targets.mixtures:GMM40", "forty normals far apart"),
        "student_t": ("genkit_inverse.targets.mixtures:StudentT", "ten Student-t components"),
        "funnel": ("genkit_inverse.targets.shapes:Funnel", "Neal's funnel"),
        "manywell": ("genkit_inverse.targets.shapes:ManyWell", "double wells beside normals"),
        "phi4": ("genkit_inverse.targets.shapes:Phi4", "a field of phi^4 on a periodic lattice"),
        "brownian": ("genkit_inverse.targets.shapes:Brownian", "a Brownian motion with unknown scales"),
        "sonar": ("genkit_inverse.targets.data:Sonar", "logistic regression of the sonar set"),
        "ionosphere": ("genkit_inverse.targets.data:Ionosphere", "logistic regression of the ionosphere set"),
        "lgcp": ("genkit_inverse.targets.data:LGCP", "a log-Gaussian Cox process of Finnish pines"),
    },
    graphs={
        "ising": ("genkit_inverse.graphs.lattice:Ising", "spins on a lattice in random fields"),
        "potts": ("genkit_inverse.graphs.lattice:Potts", "more than two states on a lattice in random fields"),
        "lda": ("genkit_inverse.graphs.topics:LDA", "the likelihood of a document under fixed topics"),
        "car_poisson": ("genkit_inverse.graphs.counts:CARPoisson", "counts on a lattice with a Gaussian log intensity"),
    },
    methods={
        "single": ("genkit_inverse.methods:Single", "DDSMC with a single particle, without weights"),
    },
    formats={
        "edm": ("genkit_inverse.models.imported:FromEDM", "U-Nets of NVlabs/edm, by their state_dict"),
        "adm": ("genkit_inverse.models.imported:FromADM", "the U-Net of guided-diffusion"),
        "diffusers": ("genkit_inverse.models.imported:FromDiffusers", "UNet2DModel of diffusers"),
    },
    operators={
        "inpaint": ("genkit_inverse.operators.images:Inpainting", "what a mask of your own hides"),
        "inpaint_box": ("genkit_inverse.operators.images:BoxInpainting", "a box in the middle is hidden"),
        "inpaint_random": ("genkit_inverse.operators.images:RandomInpainting", "random cells are hidden"),
        "inpaint_half": ("genkit_inverse.operators.images:HalfInpainting", "one half is hidden"),
        "super_resolution": ("genkit_inverse.operators.images:SuperResolution", "an image of fewer cells"),
        "blur": ("genkit_inverse.operators.images:Blur", "a kernel of your own, periodic"),
        "gaussian_blur": ("genkit_inverse.operators.images:GaussianBlur", "a Gaussian kernel, mirrored at the edges"),
        "motion_blur": ("genkit_inverse.operators.images:MotionBlur", "the mean along a line, periodic"),
        "colourisation": ("genkit_inverse.operators.images:Colourisation", "the mean of the channels, or brightness"),
        "compressed_sensing": (
            "genkit_inverse.operators.frequencies:CompressedSensing",
            "random orthogonal sums, at any size",
        ),
        "mri": ("genkit_inverse.operators.frequencies:MRI", "magnetic resonance: masked frequencies, coils"),
        "phase_retrieval": (
            "genkit_inverse.operators.frequencies:PhaseRetrieval",
            "sizes of Fourier coefficients, without their phases",
        ),
        "jpeg": ("genkit_inverse.operators.nonlinear:JPEG", "compressed by JPEG"),
        "clipping": ("genkit_inverse.operators.nonlinear:Clipping", "made brighter and cut"),
        "tomography": ("genkit_inverse.operators.images:Tomography", "sums along rays, as a dense matrix"),
    },
)
