"""Memory of a training step, predicted before anything is loaded."""
