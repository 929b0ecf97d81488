"""Manifest, cache, folds, grid, augmentation and datasets."""
