"""Choosing by cross-fitting: weight search, bootstrap intervals, the one-standard-error rule."""
