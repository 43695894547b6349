"""What is written about the node is compared with the node."""
