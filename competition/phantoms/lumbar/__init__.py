"""Synthetic lateral radiographs in the form of the lumbar data."""
