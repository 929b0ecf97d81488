"""Tracks that a YAML file declares."""
