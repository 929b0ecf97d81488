"""The nouns of the pipeline: images, tracks, folds, models, maps, decisions, submissions."""
