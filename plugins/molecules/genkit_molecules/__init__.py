"""Molecular graphs and sequences: discrete generative models, guided and corrected."""

from genkit.plugin import Plugin

plugin = Plugin(
    name="molecules",
    summary="molecular graphs by discrete diffusion and guided order-agnostic models",
    experiments={
        "ardm": ("genkit_molecules.experiments.ardm:ARDM", "order-agnostic autoregressive model of molecules"),
        "discriminator_guidance": (
            "genkit_molecules.experiments.discriminator_guidance:DiscriminatorGuidance",
            "a model of molecules corrected by a discriminator: ARDM, ARDG, BSDG, FADG",
        ),
        "digress": ("genkit_molecules.experiments.digress:DiGress", "discrete diffusion of molecules, DiGress"),
        "lattice_guidance": (
            "genkit_molecules.experiments.lattice_guidance:LatticeGuidance",
            "discriminator guidance on all small molecules, with exact laws",
        ),
        "property_guidance": (
            "genkit_molecules.experiments.property_guidance:PropertyGuidance",
            "molecules steered to a property: classifier-free, by a classifier, with the discriminator",
        ),
        "protein_ardm": (
            "genkit_molecules.experiments.protein_ardm:ProteinARDM",
            "discrete models of protein sequences",
        ),
        "protein_guidance": (
            "genkit_molecules.experiments.protein_guidance:ProteinGuidance",
            "protein sequences steered to a property: classifier-free, by a classifier, with a discriminator",
        ),
    },
    datasets={
        "lattice": ("genkit_molecules.datasets.lattice:Lattice", "all molecules of up to 6 heavy atoms, enumerated"),
        "smiles": ("genkit_molecules.datasets.smiles:Smiles", "a file of SMILES (.smi, .csv) or structures (.sdf)"),
        "zinc250k": ("genkit_molecules.datasets.smiles:ZINC250k", "ZINC250k, a tenth or all of it"),
        "moses": ("genkit_molecules.datasets.smiles:MOSES", "MOSES, 1.9 M molecules"),
        "qm9": ("genkit_molecules.datasets.smiles:QM9", "QM9, 131 k molecules"),
        "qm9_small": ("genkit_molecules.datasets.smiles:QM9Small", "499 molecules of QM9"),
        "fasta": ("genkit_molecules.datasets.proteins:Fasta", "a file of protein sequences (FASTA, A3M)"),
        "steroid_isomerase": ("genkit_molecules.datasets.proteins:SteroidIsomerase", "alignment of the family of 1qjg"),
        "hidden_markov": (
            "genkit_molecules.datasets.solvable:HiddenMarkov",
            "sequences of a hidden Markov model, with their likelihood",
        ),
        "potts": (
            "genkit_molecules.datasets.solvable:Potts",
            "sequences of a Potts or Ising chain or ring, with their likelihood",
        ),
        "table": ("genkit_molecules.datasets.solvable:Table", "a few tokens of any joint law, with their likelihood"),
    },
    networks={
        "graph_transformer": (
            "genkit_molecules.networks.graph_transformer:GraphTransformer",
            "graph transformer of DiGress",
        ),
        "sequence_transformer": (
            "genkit_molecules.networks.sequence_transformer:SequenceTransformer",
            "transformer on sequences",
        ),
        "mlp": ("genkit_molecules.networks.mlp:SequenceMLP", "a perceptron on a few tokens"),
        "bytenet": ("genkit_molecules.networks.bytenet:ByteNet", "dilated convolutions on sequences"),
    },
    benchmarks={"speed": ("genkit_molecules.benchmarks:Speed", "enumeration, training, sampling of molecules")},
)
