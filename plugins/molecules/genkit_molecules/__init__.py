"""Molecular graphs and sequences: discrete generative models, guided and corrected."""

from genkit.plugin import Plugin

plugin = Plugin(
    name="molecules",
    summary="molecular graphs by discrete diffusion and guided order-agnostic models",
    experiments={
        "lattice_guidance": (
            "genkit_molecules.experiments.lattice_guidance:LatticeGuidance",
            "discriminator guidance on all small molecules, with exact laws",
        ),
    },
    datasets={
        "lattice": ("genkit_molecules.datasets.lattice:Lattice", "all molecules of up to 6 heavy atoms, enumerated"),
    },
    networks={
        "graph_transformer": (
            "genkit_molecules.networks.graph_transformer:GraphTransformer",
            "graph transformer of DiGress",
        ),
    },
)
