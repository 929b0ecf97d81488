"""What ``./run.sh bench`` measures: drawn data, the rivals, and each figure in a row of its own."""
