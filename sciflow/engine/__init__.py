"""Running sweeps: look, plan, submit, settle."""
