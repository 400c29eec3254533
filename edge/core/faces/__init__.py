"""From a frame's pixels to faces worth comparing: boxes, crops, quality, liveness, tracks."""
