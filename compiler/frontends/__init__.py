"""From a model file (or a torch module) to a Relax module of fixed shapes."""
