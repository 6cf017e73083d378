// An empty module, whose time is that of `require` itself.
