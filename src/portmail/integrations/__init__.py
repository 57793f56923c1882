"""Where is portmail at home? One folder or file a framework; each imports its own framework and no other."""
