"""The vote on any image: reads it, predicts it with all members, and writes what a person can look at."""
