"""What each kernel computes, and which kernel an operator gets."""
