"""What ARM code executes, counted under emulation."""
