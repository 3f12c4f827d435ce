"""Resources that every dialect shares: files, vector stores, search, embeddings, models; each exports its routes."""
