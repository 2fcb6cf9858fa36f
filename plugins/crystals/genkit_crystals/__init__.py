"""Crystals: protostructures, discrete diffusion over Wyckoff positions, evaluation, structure files."""

from genkit.plugin import Plugin

DATA = "genkit_crystals.data:Crystals"
MODEL = f"{DATA} -> genkit_crystals.models.trained:CrystalModel"

plugin = Plugin(
    name="crystals",
    summary="crystals by symmetry: space group, Wyckoff positions, elements",
    experiments={
        "wyckoffdiff": (
            "genkit_crystals.experiments.wyckoffdiff:WyckoffDiff",
            "generation of crystals by discrete diffusion over Wyckoff positions",
        ),
        "discriminator_guidance": (
            "genkit_crystals.experiments.discriminator_guidance:DiscriminatorGuidance",
            "wyckoffdiff, corrected by a discriminator of its samples",
        ),
        "property_guidance": (
            "genkit_crystals.experiments.property_guidance:PropertyGuidance",
            "wyckoffdiff, steered to a property by a classifier and a discriminator",
        ),
        "space_group_conditional": (
            "genkit_crystals.experiments.space_group_conditional:SpaceGroupConditional",
            "crystals of chosen space groups, scored group by group",
        ),
    },
    datasets={
        "aflow_prototypes": (
            "genkit_crystals.datasets.aflow_prototypes:AflowPrototypes",
            "prototypes of AFLOW, decorated with other elements; no file needed",
            DATA,
        ),
        "mp20": (
            "genkit_crystals.datasets.mp20:MP20",
            "7,106 real binaries and ternaries of the Materials Project",
            DATA,
        ),
        "wbm": ("genkit_crystals.datasets.wbm:WBM", "WBM, the published training data", DATA),
        "labels_csv": ("genkit_crystals.datasets.labels_csv:LabelsCSV", "a CSV table of protostructure labels", DATA),
        "structures_dir": (
            "genkit_crystals.datasets.structures_dir:StructuresDir",
            "CIF, POSCAR, JSON or MP-20-style CSV files",
            DATA,
        ),
    },
    models={
        "wyckoffdiff": (
            "genkit_crystals.models.generator:WyckoffDiffusion",
            "discrete diffusion over Wyckoff positions",
            MODEL,
        ),
        "corrected": (
            "genkit_crystals.models.critics:Corrected",
            "wyckoffdiff, or another, with a discriminator of its samples",
            MODEL,
        ),
        "steered": (
            "genkit_crystals.models.critics:Steered",
            "the same with a classifier of a property",
            MODEL,
        ),
        "wrenformer": (
            "genkit_crystals.models.encoder:WrenformerEncoder",
            "a wrenformer trained on energies or descriptors, for distances",
            f"{DATA} -> genkit_crystals.models.encoder:Encoder",
        ),
    },
    networks={
        "wyckoff_gnn": (
            "genkit_crystals.networks.wyckoff_gnn:WyckoffGNN",
            "attention over Wyckoff positions",
            "genkit_crystals.networks.wyckoff_gnn:Sizes",
        ),
        "wrenformer": (
            "genkit_crystals.networks.wrenformer:Wrenformer",
            "transformer over orbits, for distances",
            "genkit_crystals.networks.wrenformer:TokenSizes",
        ),
    },
    formats={
        "wyckoffdiff": ("genkit_crystals.models.published:Published", "weights of the reference code (torch)"),
    },
    benchmarks={
        "speed": ("genkit_crystals.benchmarks:Speed", "sampling, training and encoding with the default network"),
    },
)
