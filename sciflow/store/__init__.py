"""The sweep directory: append-only frames under the workers, one driver at a time, a consolidated dataset."""
