"""Synthetic angiograms in the form of the aneurysm data."""
