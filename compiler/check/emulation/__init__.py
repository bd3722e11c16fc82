"""Running artifacts for ARM under emulation, to check what they compute where no such machine is at hand."""
