"""Draw docs/images/samplers.png from the suite `core.convergence`:  python docs/samplers.py"""

from pathlib import Path

from matplotlib.figure import Figure

from genkit.bench import Convergence

STYLE = {
    **{"Euler": ("0.6", "o"), "Ancestral": ("0.6", "x"), "SDEDPMpp2M": ("#c2571a", "x"), "Heun": ("#0b6e99", "o")},
    **{"DPMpp2S": ("#4aa564", "o"), "DPMpp2M": ("#c2571a", "o"), "DPMpp3M": ("#8b2fc9", "o"), "RK4": ("k", "o")},
    **{"rho": ("#c2571a", "o"), "logsnr": ("#0b6e99", "o"), "quadratic": ("#4aa564", "o"), "time": ("0.6", "o")},
}


def main() -> None:
    """Two panels: samplers on the grid of EDM, and grids for one sampler."""
    curves: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for row in Convergence().measure("full"):
        sampler, grid, calls = row.name.split(", ")
        curves.setdefault((sampler, grid), []).append((int(calls.split()[0]), row.value))
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for (sampler, grid), points in curves.items():
        panels = [(left, sampler)] * (grid == "rho") + [(right, grid)] * (sampler == "DPMpp2M")
        for axes, label in panels:
            color, marker = STYLE[label]
            axes.loglog(*zip(*points, strict=True), color=color, marker=marker, ms=4, label=label)
    left.set(title="samplers, grid rho", ylabel="relative error of the standard deviation", ylim=(1e-5, 2))
    right.set(title="grids, DPMpp2M")
    for axes in (left, right):
        axes.set(xlabel="network calls", xticks=[9, 17, 33, 65, 129, 257], xticklabels=[9, 17, 33, 65, 129, 257])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(Path(__file__).with_name("images") / "samplers.png", dpi=110)


if __name__ == "__main__":
    main()
