"""Models that run on another machine: Triton and every other KServe-v2 gRPC server.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
"""
