"""Graph passes: functions from one module to another, tested by before and after and by running both."""
