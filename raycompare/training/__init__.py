"""One trial, measured and screened: the Hugging Face Trainer. Knows nothing of Ray."""
