"""Comparisons of recipes: one YAML file each, its declaration, figures and results."""
