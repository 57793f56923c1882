"""Finding a server: each source, the doors to DNS and https, and the decision."""
