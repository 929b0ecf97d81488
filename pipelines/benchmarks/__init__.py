"""What ``./run.sh bench`` and ``race`` measure: synthetic data, rivals, and timed pairs of both sides."""
