"""How does portmail stand in for sendmail(1)? Flags, names, messages, `-bs`; `command.py` begins it all."""
