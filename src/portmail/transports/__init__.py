"""How are octets exchanged with a server? The connection, its TLS, and the dialogue on it."""
