"""From messages to frames and back. Sans-I/O: bytes, ``now`` and seeds come in as arguments."""
