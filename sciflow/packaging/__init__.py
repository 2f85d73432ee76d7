"""A sweep as one file that others can check and read."""
