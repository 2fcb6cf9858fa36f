"""Data sets of protostructures."""
