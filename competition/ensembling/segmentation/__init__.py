"""Tuning a segmentation ensemble: weights, thresholds and post-processing."""
