"""Identity: Keystone's nouns. Domains, projects, users, roles, assignments, tokens.

Owns who may sign in and what a request may claim (`RequestContext`). Serves `/identity/v3` and the sign-in pages. Imports core only.
`authentication` turns a password, a token or a cookie into a person (for pages, the APIs and plain ASGI), `tokens` are opaque and die at
once with whatever they rest on, `slowing` makes guessing slow, `services` answers who may do what, `navigation` collects the rooms' pages.
Ids are 32 hex digits, as Keystone's; the first domain is `Default` with the id `default`.
"""
