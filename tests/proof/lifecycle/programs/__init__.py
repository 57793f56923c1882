"""What does a program do with a client in the odd hours of its life? A function for each such program."""
