"""Pages: signing in and out (session), one's own settings (account), projects and users (directory)."""
