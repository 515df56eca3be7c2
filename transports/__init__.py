"""Links to the world, one module or folder a scheme; each knows core and no other leaf."""
