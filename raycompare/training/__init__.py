"""One trial with the Hugging Face Trainer, and what else is computed with a model; no Ray."""
