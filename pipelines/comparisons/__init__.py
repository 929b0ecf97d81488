"""Comparisons of recipes: one YAML file each, what such a file may say, and the figures that are compared."""
