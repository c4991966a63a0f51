"""Tests of what publishes the document: the frame, the Node and the files."""
