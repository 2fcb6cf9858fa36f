"""Molecular graphs and sequences: discrete generative models, guided and corrected."""

from genkit.plugin import Plugin

MOLECULES, SEQUENCES = "genkit_molecules.items.data:Molecules", "genkit_molecules.items.sequences:Sequences"
GENERATOR, GUIDED = "genkit_molecules.models.trained:Generator", "genkit_molecules.models.trained:Guided"
ON_TARGET = f"genkit_molecules.target:Target -> {GUIDED}"
ON_SEQUENCES = f"{SEQUENCES} -> {GENERATOR}"

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
    models={
        "graph_ardm": (
            "genkit_molecules.models.graphs:GraphARDM",
            "molecules by order-agnostic autoregression",
            f"{MOLECULES} -> {GENERATOR}",
        ),
        "digress": (
            "genkit_molecules.models.graphs:DiGress",
            "molecules by discrete diffusion, DiGress",
            f"{MOLECULES} -> {GENERATOR}",
        ),
        "corrected": (
            "genkit_molecules.models.guided:Corrected",
            "a generator of molecules and a discriminator of its samples",
            f"{MOLECULES} -> {GUIDED}",
        ),
        "steered": (
            "genkit_molecules.models.guided:SteeredMolecules",
            "a generator of molecules, a discriminator, a classifier of a property",
            f"{MOLECULES} -> {GUIDED}",
        ),
        "steered_sequences": (
            "genkit_molecules.models.guided:SteeredSequences",
            "a generator of sequences, a discriminator, a classifier of a property",
            f"{SEQUENCES} -> {GUIDED}",
        ),
        "ardm": (
            "genkit_molecules.models.sequences:SequenceARDM",
            "sequences by order-agnostic autoregression",
            ON_SEQUENCES,
        ),
        "masked": ("genkit_molecules.models.sequences:Masked", "sequences by masked diffusion", ON_SEQUENCES),
        "euler": ("genkit_molecules.models.sequences:Euler", "the same, sampled by its rates", ON_SEQUENCES),
        "flow": ("genkit_molecules.models.sequences:Flow", "the same, by a flow that hides sites again", ON_SEQUENCES),
        "remasked": (
            "genkit_molecules.models.sequences:Remasked",
            "the same, by a posterior that hides sites again, ReMDM",
            ON_SEQUENCES,
        ),
        "uniform": ("genkit_molecules.models.sequences:Uniform", "sequences by D3PM, uniform noise", ON_SEQUENCES),
        "marginal": ("genkit_molecules.models.sequences:Marginal", "the same, noise of the letters", ON_SEQUENCES),
        "absorbing": ("genkit_molecules.models.sequences:Absorbing", "the same, to the first letter", ON_SEQUENCES),
        "blosum": ("genkit_molecules.models.sequences:Blosum", "the same, noise of BLOSUM62", ON_SEQUENCES),
        "learned": (
            "genkit_molecules.models.lattice:Learned",
            "a network of the molecules of n atoms, and a discriminator",
            ON_TARGET,
        ),
        "factorised": (
            "genkit_molecules.models.lattice:Factorised",
            "the product of the marginals of the molecules of n atoms, and a discriminator",
            ON_TARGET,
        ),
        "half": (
            "genkit_molecules.models.lattice:Half",
            "a mixture of that and of the data, and a discriminator",
            ON_TARGET,
        ),
    },
    datasets={
        "lattice": (
            "genkit_molecules.datasets.lattice:Lattice",
            "all molecules of up to 6 heavy atoms, enumerated",
            MOLECULES,
        ),
        "smiles": (
            "genkit_molecules.datasets.smiles:Smiles",
            "a file of SMILES (.smi, .csv) or structures (.sdf)",
            MOLECULES,
        ),
        "zinc250k": ("genkit_molecules.datasets.smiles:ZINC250k", "ZINC250k, a tenth or all of it", MOLECULES),
        "moses": ("genkit_molecules.datasets.smiles:MOSES", "MOSES, 1.9 M molecules", MOLECULES),
        "qm9": ("genkit_molecules.datasets.smiles:QM9", "QM9, 131 k molecules", MOLECULES),
        "qm9_h": ("genkit_molecules.datasets.smiles:QM9H", "QM9 with hydrogen atoms", MOLECULES),
        "qm9_small": ("genkit_molecules.datasets.smiles:QM9Small", "499 molecules of QM9", MOLECULES),
        "fasta": ("genkit_molecules.datasets.proteins:Fasta", "a file of protein sequences (FASTA, A3M)", SEQUENCES),
        "steroid_isomerase": (
            "genkit_molecules.datasets.proteins:SteroidIsomerase",
            "alignment of the family of 1qjg",
            SEQUENCES,
        ),
        "hidden_markov": (
            "genkit_molecules.datasets.solvable:HiddenMarkov",
            "sequences of a hidden Markov model, with their likelihood",
        ),
        "potts": (
            "genkit_molecules.datasets.solvable:Potts",
            "sequences of a Potts or Ising chain or ring, with their likelihood",
        ),
        "table": (
            "genkit_molecules.datasets.solvable:Table",
            "a few tokens of any joint law, with their likelihood",
            SEQUENCES,
        ),
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
    commands={"molecules-score": ("genkit_molecules.commands.score:Score", "all scores of a file of molecules")},
    benchmarks={"speed": ("genkit_molecules.benchmarks:Speed", "enumeration, training, sampling of molecules")},
)
