"""Data sets: generated, small real ones, and readers of established layouts."""
