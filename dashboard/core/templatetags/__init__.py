"""Template filters shared by every room."""
