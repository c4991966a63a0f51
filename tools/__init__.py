"""What makes and measures the project, and is neither shipped nor a test."""
