"""What the node keeps: files under the data directory and the index that knows them."""
