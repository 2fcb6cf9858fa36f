"""Weather: limited-area ensemble forecasts, data sets, verification."""

from genkit.plugin import Plugin

DATA = "genkit_weather.data:WeatherData"
FOLDS = "genkit_weather.assimilation.folds:Folds"
STATE = f"{FOLDS} -> genkit_weather.models.state:StateModel"
ANALYSIS = f"{FOLDS} -> genkit_weather.models.state:OIModel"
MODEL = f"{DATA} -> genkit_weather.models.trained:WeatherModel"
ON_CELLS = "genkit_weather.networks.conditioning:Sizes"
ON_GRAPHS = f"{ON_CELLS}, genkit_weather.graphs.graph:Graph"

plugin = Plugin(
    name="weather",
    summary="limited-area weather forecasting",
    experiments={
        "diffusion_lam": (
            "genkit_weather.experiments.diffusion_lam:DiffusionLAM",
            "ensemble forecasts of a limited area by conditional diffusion",
        ),
        "graph_lam": (
            "genkit_weather.experiments.graph_lam:GraphLAMForecast",
            "deterministic forecasts by messages on a mesh",
        ),
        "hi_lam": (
            "genkit_weather.experiments.graph_lam:HiLAMForecast",
            "deterministic forecasts by messages on a hierarchy of meshes",
        ),
        "km_lam": (
            "genkit_weather.experiments.km_lam:KmLAM",
            "forecasts of an area with a second data set around it as its boundary",
        ),
        "graph_efm": (
            "genkit_weather.experiments.graph_efm:GraphEFMForecast",
            "ensemble forecasts by a latent variable on a mesh",
        ),
        "cef": (
            "genkit_weather.experiments.cef:ContinuousEnsembles",
            "ensemble forecasts continuous in lead time by conditional diffusion",
        ),
        "crps_lam": (
            "genkit_weather.experiments.crps_lam:CRPSLAMForecast",
            "ensemble forecasts by one network pass a member and step",
        ),
        "graph_crps": (
            "genkit_weather.experiments.crps_lam:GraphCRPSForecast",
            "as crps_lam, by messages on a mesh",
        ),
        "assimilation": (
            "genkit_weather.experiments.assimilation:Assimilation",
            "analyses from stations, cycled with forecasts, beside tuned baselines",
        ),
    },
    datasets={
        "qg_nature": (
            "genkit_weather.datasets.qg_nature:QGNature",
            "two-layer quasi-geostrophic nature run, generated",
            DATA,
        ),
        "qg_global": (
            "genkit_weather.datasets.qg_global:QGGlobal",
            "the whole periodic domain of weather.qg_nature, without a boundary",
            DATA,
        ),
        "qg_host": (
            "genkit_weather.datasets.qg_host:QGHost",
            "the coarse host model around weather.qg_nature, as boundary data",
            DATA,
        ),
        "ou": ("genkit_weather.datasets.ou:OU", "an Ornstein-Uhlenbeck process in each cell, generated", DATA),
        "l96": ("genkit_weather.datasets.l96:L96", "Lorenz-96 with a frame, generated", DATA),
        "era5_uk": ("genkit_weather.datasets.era5_uk:ERA5UK", "ERA5 2 m temperature, United Kingdom, March 2019", DATA),
        "synthetic_advection": (
            "genkit_weather.datasets.synthetic_advection:SyntheticAdvection",
            "a tracer in constant wind, solved exactly",
            DATA,
        ),
        "own": ("genkit_weather.datasets.own:Own", "own NetCDF, zarr or GRIB files, as they are", DATA),
        "meps_npy": ("genkit_weather.datasets.meps_npy:MEPS", "MEPS forecasts in the numpy layout", DATA),
        "mdp_zarr": ("genkit_weather.datasets.mdp_zarr:MDP", "a zarr store of mllam-data-prep", DATA),
        "weatherbench1": (
            "genkit_weather.datasets.weatherbench1:WeatherBench1",
            "WeatherBench at 5.625 degrees, NetCDF files by variable and year",
            DATA,
        ),
        "weatherbench2": ("genkit_weather.datasets.weatherbench2:WeatherBench2", "a zarr store of WeatherBench2", DATA),
    },
    networks={
        "unet": (
            "genkit_weather.networks.unet:LamUNet",
            "U-Net with separate embedders of interior and frame",
            ON_CELLS,
        ),
        "graph_lam": (
            "genkit_weather.networks.graph_lam:GraphLAM",
            "messages on a flat or multi-scale mesh",
            ON_GRAPHS,
        ),
        "hi_lam": ("genkit_weather.networks.hi_lam:HiLAM", "messages on a hierarchy of meshes", ON_GRAPHS),
        "graph_denoiser": (
            "genkit_weather.networks.graph_denoiser:GraphDenoiser",
            "a graph network for diffusion_lam",
            ON_CELLS,
        ),
        "graph_efm": ("genkit_weather.networks.graph_efm:GraphEFM", "a latent variable on a mesh", ON_GRAPHS),
    },
    models={
        "diffusion": ("genkit_weather.models.diffusion:Diffusion", "conditional diffusion of the next state", MODEL),
        "graph_lam": ("genkit_weather.models.graph:GraphLAMRecipe", "messages on a mesh, deterministic", MODEL),
        "hi_lam": (
            "genkit_weather.models.graph:HiLAMRecipe",
            "messages on a hierarchy of meshes, deterministic",
            MODEL,
        ),
        "graph_efm": ("genkit_weather.models.latent:GraphEFMRecipe", "a latent variable on a mesh", MODEL),
        "cef": ("genkit_weather.models.cef:CEF", "conditional diffusion of the state at any of several leads", MODEL),
        "crps_lam": ("genkit_weather.models.crps:CRPSLAM", "one pass a member and step, trained by the CRPS", MODEL),
        "snapshot": (
            "genkit_weather.models.snapshot:Snapshot",
            "conditional diffusion of a state without its past, a prior of analyses",
            STATE,
        ),
        "oi_diffusion": (
            "genkit_weather.models.oi:OIDiffusion",
            "conditional diffusion about the analysis of optimal interpolation",
            ANALYSIS,
        ),
    },
    formats={
        "neural-lam": ("genkit_weather.neural_lam.format:NeuralLAM", "Graph-LAM and Hi-LAM of Neural-LAM (torch)"),
    },
    commands={
        "weather-graph": ("genkit_weather.graphs.command:WeatherGraph", "build, validate and describe weather graphs"),
        "weather-forecast": (
            "genkit_weather.forecasting.command:WeatherForecast",
            "forecast from files with a trained model",
        ),
        "weather-analyse": (
            "genkit_weather.cycling.command:WeatherAnalyse",
            "analyse observations of stations with a trained prior or correction of OI",
        ),
        "weather-check": (
            "genkit_weather.datasets.check:WeatherCheck",
            "tell how a file of gridded data is understood",
        ),
        "weather-maps": ("genkit_weather.figures.command:WeatherMaps", "maps and a plume of a forecast file"),
        "weather-stations": ("genkit_weather.stations.command:WeatherStations", "verify a forecast run at stations"),
    },
    benchmarks={
        "diffusion_lam": ("genkit_weather.benchmarks:Speed", "training and sampling with the default network"),
    },
)
