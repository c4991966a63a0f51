"""The command `doctor`: probes gather evidence, pure rules name causes, a report says what to do."""
