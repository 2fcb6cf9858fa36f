"""Inverse problems: operators, posterior samplers side by side, problems whose posterior is known."""

from genkit.plugin import Plugin

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
    },
    datasets={
        "binary_digits": ("genkit_inverse.datasets.binary:BinaryDigits", "1797 handwritten digits of 8 x 8 bits"),
    },
    networks={
        "logit_unet": ("genkit_inverse.networks.logits:LogitUNet", "U-Net on images of classes"),
    },
)
