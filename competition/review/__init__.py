"""Which labels to look at again: suspicious ones, and images on which folds disagree; their export for correction."""
