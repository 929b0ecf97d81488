"""What stages print about training, tuning and scores."""
