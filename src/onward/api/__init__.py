"""The HTTP surface: dialects and resources over the engine and the stores. Each dialect is a folder of its own."""
