"""Pure types of the domain. Imports nothing of ours and does no input or output."""
