"""Data sets of molecules and sequences."""
