"""The chat completions dialect: wire → intake → core, events → chunks, and the stored completions."""
