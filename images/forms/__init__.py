"""Forms of the room: creating an image, editing one, and the fields both have."""
