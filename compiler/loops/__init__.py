"""Tools for loop bodies, and the marks that kernels leave for schedule rules."""
