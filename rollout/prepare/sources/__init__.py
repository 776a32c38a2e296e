"""Where problems come from: files, a data set, a library."""
