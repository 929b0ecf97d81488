"""Drawn stand-in data in the organisers' own on-disk form, so that everything runs with no download."""
