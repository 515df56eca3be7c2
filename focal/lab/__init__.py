"""The simulator: scenarios of nodes that share a frequency, run in virtual time or served."""
