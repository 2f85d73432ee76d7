"""Facts about code, inputs, environment and machine: reads the world, writes nothing."""
