"""Everything chosen on out-of-fold predictions: thresholds, weights, post-processing, the decision."""
