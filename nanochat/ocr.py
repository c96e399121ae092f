"""`OCR`, under the name that programs import it by."""

from nanochat.reading.ocr import OCR as OCR
