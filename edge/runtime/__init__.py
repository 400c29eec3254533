"""Models on backends: the bundle, the runners, and their proof."""
