"""Moving-MNIST, as published and drawn on the fly."""
