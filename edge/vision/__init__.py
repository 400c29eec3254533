"""From a frame to faces, probes and evidence."""
