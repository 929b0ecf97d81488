"""What is chosen on out-of-fold predictions (weights, thresholds, post-processing), and the vote that applies it."""
