"""The shared kernel: errors, states, policy, HTTP plumbing. No models; imports no other room; each module serves two rooms or more."""
