"""Quality plugins: codecs with their matching compressor and decoder."""
