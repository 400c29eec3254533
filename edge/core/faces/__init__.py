"""From a frame's pixels to faces that can be compared: boxes, crops, quality, PAD, tracks."""
