"""Models on backends: the bundle, the runners, and the golden vectors that prove them."""

import sys

# OpenVINO reports its import to a statistics service if it finds this package, and a door must not
# call home. It is hidden here, which comes before any import of OpenVINO.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
