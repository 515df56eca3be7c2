"""Where decoded messages go; each sink knows core and no other leaf."""
