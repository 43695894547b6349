"""Synthetic reports with marks, written for this project; README.md says how they are marked."""
