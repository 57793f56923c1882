"""How do the settings of another mail program become ours? One file a program, read when asked."""
