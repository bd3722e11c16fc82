"""From operators to the kernels that compute them."""
