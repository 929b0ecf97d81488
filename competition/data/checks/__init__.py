"""What can be wrong with a data set although every file can be read."""
