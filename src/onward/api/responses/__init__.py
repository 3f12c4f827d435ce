"""The Responses dialect with its conversations: wire → intake → core, and events → frames → wire."""
