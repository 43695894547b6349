"""How model files run: one module per runtime, found by entry point ``wetread.backends``."""

import os

# Since 1.29 ONNX Runtime's own wheels for Linux report processes, and hashes and names of models,
# to its maker, and write an identifier of the machine below the home directory. It reads this
# variable once, when it is first imported: so here, before any module of this package does
# (github.com/microsoft/onnxruntime/pull/27379).
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
