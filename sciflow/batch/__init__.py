"""Batch systems of clusters: what a job asks for, how it is submitted, what becomes of it."""
