"""Tables of compressed networks, with peers."""
