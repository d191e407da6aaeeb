"""How a layer reads its inputs, its activation, and the layers that users name."""
