"""What the core itself registers, in the same way as any plugin."""

from genkit.plugin import Plugin

plugin = Plugin(
    name="core",
    summary="samplers, optimisers and commands of genkit itself",
    experiments={
        "mixture": ("genkit.experiment.mixture:Mixture", "a 2-D Gaussian mixture: train, sample, compare"),
    },
    models={
        "mixture": (
            "genkit.experiment.mixture:RingDiffusion",
            "a diffusion model of points in the plane",
            "genkit.experiment.mixture:Ring -> genkit.model.diffusion:Diffusion",
        ),
    },
    processes={
        "edm": ("genkit.diffusion:EDM", "variance exploding in its own noise level"),
        "ve": ("genkit.diffusion:VE", "variance exploding, geometric in time"),
        "vp": ("genkit.diffusion:VP", "variance preserving with linear beta"),
        "sub_vp": ("genkit.diffusion:SubVP", "sub-variance preserving"),
        "cosine": ("genkit.diffusion:Cosine", "variance preserving with a cosine schedule"),
        "flow": ("genkit.diffusion:Flow", "rectified flow"),
        "ddpm": ("genkit.diffusion:DDPM", "the discrete chain of DDPM"),
    },
    samplers={
        "euler": ("genkit.diffusion:Euler", "Euler's method, which is DDIM and DPM-Solver++(1)"),
        "ddim": ("genkit.diffusion:DDIM", "DDIM with a share eta of fresh noise"),
        "ancestral": ("genkit.diffusion:Ancestral", "the reverse chain of DDPM, with either variance"),
        "heun": ("genkit.diffusion:Heun", "EDM's second-order sampler, with optional churn"),
        "dpmpp_2s": ("genkit.diffusion:DPMpp2S", "DPM-Solver++(2S), with optional churn"),
        "dpmpp_2m": ("genkit.diffusion:DPMpp2M", "multistep DPM-Solver++ of second order"),
        "dpmpp_3m": ("genkit.diffusion:DPMpp3M", "multistep DPM-Solver++ of third order"),
        "sde_dpmpp_2m": ("genkit.diffusion:SDEDPMpp2M", "SDE-DPM-Solver++(2M)"),
        "euler_maruyama": ("genkit.diffusion:EulerMaruyama", "Euler-Maruyama on the family of reverse SDEs"),
        "deis": ("genkit.diffusion:DEIS", "tAB-DEIS, Adams-Bashforth for the noise in the time of the process"),
        "unipc": ("genkit.diffusion:UniPC", "UniPC, a multistep predictor with a corrector at no further call"),
        "flow_ode": ("genkit.diffusion:FlowODE", "Runge-Kutta steps in the time of rectified flow, from pure noise"),
        "rk3": ("genkit.diffusion:RK3", "Kutta's third-order method"),
        "rk4": ("genkit.diffusion:RK4", "the classical fourth-order Runge-Kutta method"),
        "predictor_corrector": ("genkit.diffusion:PredictorCorrector", "Euler-Maruyama with Langevin corrections"),
        "adaptive": ("genkit.diffusion:Adaptive", "the flow with steps of adaptive size (diffrax)"),
        "consistency": ("genkit.diffusion:Consistency", "multistep sampling of a consistency function"),
    },
    operators={
        "denoising": ("genkit.steer:Denoising", "everything is seen, with noise"),
        "random_matrix": ("genkit.steer:RandomMatrix", "a random dense matrix, as in compressed sensing"),
    },
    methods={
        "ddsmc": ("genkit.steer:DDSMC", "decoupled diffusion SMC, weighted particles"),
        "mcgdiff": ("genkit.steer:MCGDiff", "DDIM drawn towards the measurement, weighted particles"),
        "tds": ("genkit.steer:TDS", "the twisted diffusion sampler, weighted particles"),
        "pigdm": ("genkit.steer:PiGDM", "DDIM guided by a Gaussian likelihood"),
        "dps": ("genkit.steer:DPS", "DDIM guided by the gradient of the residual"),
        "daps": ("genkit.steer:DAPS", "decoupled annealing, without weights"),
        "ddrm": ("genkit.steer:DDRM", "DDIM with the measurement in place of what it sees"),
        "fps": ("genkit.steer:FPS", "a diffused measurement followed by a particle filter"),
        "dcps": ("genkit.steer:DCPS", "Langevin and variational steps in blocks"),
        "reddiff": ("genkit.steer:REDDiff", "a point by regularised optimisation"),
    },
    guidance={
        "classifier_free": (
            "genkit.diffusion:ClassifierFree",
            "D_u + strength (D_c - D_u), interval and rescaling",
        ),
    },
    optimizers={
        "adamw": ("genkit.train:AdamW", "AdamW with warm-up and a cosine or constant schedule"),
        "muon": ("genkit.train:Muon", "Muon for matrices, AdamW for the rest"),
    },
    networks={
        "mlp": ("genkit.nn:NoisyMLP", "a noise-conditioned multilayer perceptron for vectors", "int"),
        "unet": ("genkit.nn:NoisyUNet", "a noise-conditioned U-Net for images", "tuple[int, int, int]"),
    },
    benchmarks={
        "fidelity": ("genkit.bench.fidelity:Fidelity", "exact and published figures beside ours"),
        "convergence": ("genkit.bench.convergence:Convergence", "error of samplers by network calls"),
        "samplers": ("genkit.bench.samplers:Samplers", "what samplers cost above their network calls"),
        "smc": ("genkit.bench.smc:SMC", "what resampling and a particle filter cost"),
        "cli": ("genkit.bench.start:Start", "start of the command line"),
    },
    formats={
        "npz": ("genkit.model.formats:Npz", "the arrays as one numpy file"),
        "safetensors": ("genkit.model.formats:Safetensors", "the arrays as one safetensors file"),
    },
    loggers={
        "tensorboard": ("genkit.train:Tensorboard", "event files for TensorBoard (extra: tensorboard)"),
    },
    commands={
        "run": ("genkit.cli.run:Run", "run an experiment, or replay a config.yaml"),
        "list": ("genkit.cli.list:List", "experiments and other components"),
        "plugins": ("genkit.cli.plugins:Plugins", "installed plugins and their state"),
        "show": ("genkit.cli.show:Show", "the resolved configuration of an experiment or run"),
        "sample": ("genkit.cli.sample:Sample", "draw samples from a trained model"),
        "evaluate": ("genkit.cli.evaluate:Evaluate", "evaluate a finished run again"),
        "report": ("genkit.cli.report:Report", "make the report of a run again"),
        "compare": ("genkit.cli.compare:Compare", "compare the results of two or more runs"),
        "export": ("genkit.cli.export:Export", "write a trained model for use elsewhere"),
        "import": ("genkit.cli.import_:Import", "read a trained model from another package's files"),
        "sweep": ("genkit.cli.sweep:Sweep", "run an experiment for a list of option values"),
        "bench": ("genkit.cli.bench:Bench", "measure fidelity and speed"),
        "data": ("genkit.cli.data:Data", "list, fetch and locate data sets"),
        "new-plugin": ("genkit.cli.new_plugin:NewPlugin", "write a plugin package that works at once"),
        "doctor": ("genkit.cli.doctor:Doctor", "check this installation"),
        "completion": ("genkit.cli.completion:Completion", "print shell completion for bash or zsh"),
    },
)
