"""Results as files for other tools: tables with units and a dictionary of their columns, and the labelled dataset."""
