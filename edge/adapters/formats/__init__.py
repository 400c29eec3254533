"""The formats of photos: how each is recognised, measured, checked for damage and decoded."""
