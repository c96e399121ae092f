"""nano-deepseek-ocr: a small model that reads documents, and everything needed to train it."""
