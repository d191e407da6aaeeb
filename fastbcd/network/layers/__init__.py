"""Views, activations and pooling of layers, and the layer specifications of users."""
