"""Identity: Keystone's nouns. Domains, projects, users, roles, assignments, tokens.

Owns who may sign in and what a request may claim (`RequestContext`). Serves `/identity/v3` and the sign-in pages. Imports core only.
Ids are 32 hex digits, as Keystone's; the first domain is `Default` with the id `default`.
"""
