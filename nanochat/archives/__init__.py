"""Archives: any number of documents, local or remote, read by many processes on one machine or a cluster."""
