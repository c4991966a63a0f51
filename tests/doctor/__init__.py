"""The command `doctor`: every cause reproduced over sockets, and none on a healthy node."""
