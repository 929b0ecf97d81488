"""A CSV with one row per sample and one column per class."""
