"""Who may pass at this door, here and now."""
