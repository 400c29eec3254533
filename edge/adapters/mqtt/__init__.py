"""The broker: the link, the outbox that it sends from, and MQTT 5's properties."""
