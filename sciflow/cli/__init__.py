"""The command line: commands parse, call the library, print, and exit."""
