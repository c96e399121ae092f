"""Archives: any number of documents, anywhere, read by many processes on one machine or a cluster."""
