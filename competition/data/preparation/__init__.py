"""From raw files to the cache: what prepare reads, finds wrong, and decides about folds."""
