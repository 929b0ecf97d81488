"""The section on the ensemble: what members weigh, what each adds, how alike they are, and where they disagree."""
