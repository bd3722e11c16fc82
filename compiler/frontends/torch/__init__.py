"""From a torch module or an exported program to Relax."""
