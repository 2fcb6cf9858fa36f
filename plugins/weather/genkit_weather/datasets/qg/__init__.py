"""The quasi-geostrophic model behind the nature run: equations, generated trajectories, boundary data."""
