"""Kite Connect: the wire, the socket, REST and login."""
