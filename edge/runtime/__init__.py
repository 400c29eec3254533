"""Models on backends: the bundle, the runners, and their proof."""

import sys

# OpenVINO reports its import to a statistics service where it finds this package. A door does not
# call home; without it OpenVINO stays silent. Here, because it must stand before that import.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
