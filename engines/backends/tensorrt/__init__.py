"""TensorRT: plans built ahead, kept in a cache, run on an NVIDIA GPU.

Nothing here imports TensorRT or touches the driver before a backend is asked for something.
"""
