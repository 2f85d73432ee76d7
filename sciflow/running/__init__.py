"""One variant in this process."""
