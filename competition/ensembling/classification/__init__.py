"""Tuning a classification ensemble: weights, thresholds and gate."""
