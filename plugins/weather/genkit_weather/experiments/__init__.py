"""Experiments of the weather plugin."""
