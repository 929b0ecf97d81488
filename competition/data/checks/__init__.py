"""Problems of a data set whose files can all be read."""
