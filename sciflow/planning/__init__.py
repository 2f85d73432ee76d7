"""What must run, why, and in which batches; pure."""
