"""A feed-forward network as plain data: layers in a row, and what can be done to them exactly."""
