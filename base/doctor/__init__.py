"""`dyno doctor`: whether this machine is fit to measure on."""
