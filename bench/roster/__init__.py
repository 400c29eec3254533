"""The roster measured: devices that synchronise with a real broker."""
