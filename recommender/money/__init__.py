"""What a month of the traffic costs: instances, mixes, patterns; pure but for the reading of a trace."""
