"""Forms of the room: creating an image, editing one."""
