"""One turn loop over one item log: context → model → tools → items → events. Knows ports and core only."""
