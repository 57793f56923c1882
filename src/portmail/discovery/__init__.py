"""Where does an address submit? Finders, each one file and one line in `registry.py`; how to weigh them."""
