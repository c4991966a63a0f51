"""The pictures of docs/images/, taken of the real thing."""
