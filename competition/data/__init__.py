"""Manifest, cache, folds, augmentation and datasets."""
