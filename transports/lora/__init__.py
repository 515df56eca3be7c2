"""LoRa through Meshtastic."""
