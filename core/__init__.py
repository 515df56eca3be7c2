"""What focal knows of voice messages, frames and time.

The law of this layer: it never learns what a radio, a socket, a model or a terminal is.
Nothing is re-exported here; import the module that has the name.
"""
