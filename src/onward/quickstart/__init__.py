"""The quickstart's example: a small company's documents, and the client code that asks them."""
