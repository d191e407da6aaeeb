"""The nearest matrix of each form, plainly or in the metric of the data."""
