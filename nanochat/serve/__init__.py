"""The server: one model, many readers, over the OpenAI protocol, uploads, and a page in the browser."""
