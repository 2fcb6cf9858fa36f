"""Crystals: protostructures, discrete diffusion over Wyckoff positions, evaluation, structure files."""

from genkit.plugin import Plugin

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
        ),
        "mp20": ("genkit_crystals.datasets.mp20:MP20", "7,106 real binaries and ternaries of the Materials Project"),
        "wbm": ("genkit_crystals.datasets.wbm:WBM", "WBM, the published training data"),
        "labels_csv": ("genkit_crystals.datasets.labels_csv:LabelsCSV", "a CSV table of protostructure labels"),
        "structures_dir": (
            "genkit_crystals.datasets.structures_dir:StructuresDir",
            "CIF, POSCAR, JSON or MP-20-style CSV files",
        ),
    },
    networks={
        "wyckoff_gnn": ("genkit_crystals.networks.wyckoff_gnn:WyckoffGNN", "attention over Wyckoff positions"),
        "wrenformer": ("genkit_crystals.networks.wrenformer:Wrenformer", "transformer over orbits, for distances"),
    },
    benchmarks={
        "speed": ("genkit_crystals.benchmarks:Speed", "sampling, training and encoding with the default network"),
    },
)
