"""Views, tiles, probability maps on disk, and the predictor."""
