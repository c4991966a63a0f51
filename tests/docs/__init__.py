"""The pages for people: made from the program where they can be, compared with it where they cannot."""
