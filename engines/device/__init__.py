"""The path of a volume through a CUDA device: voxels up, labels down, nothing in between."""
